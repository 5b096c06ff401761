"""Authentication by e-mail and password, shared by the sign-in routes and the admin."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import NoReturn, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import methods as factor_methods
from plinth.accounts import providers, queries
from plinth.accounts.queries.sign_in import Candidate
from plinth.accounts.services import audit, throttle
from plinth.accounts.services.throttle import KnownDevice
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.reading import Readable
from plinth.errors import PermissionDenied, PlinthError, RateLimited, Rejected, Unauthenticated
from plinth.limits import Reservation
from plinth.request.client import Client
from plinth.request.context import current_request
from plinth.security import devices
from plinth.security.passwords import Verdict, verify_password

T = TypeVar("T")
CLOCK_SKEW = timedelta(minutes=1)
PASSWORD_RESET = "password_reset"  # noqa: S105
SIGN_IN_AGAIN = "Sign in again to continue, by one of the methods"


class WrongCredentials(Unauthenticated):
    code = "wrong_credentials"
    detail = "Incorrect email or password"
    commit_on_error = True  # keeps the audit event


class MfaRequired(PermissionDenied):
    """The sign-in needs a second factor: `POST /auth/mfa` with the challenge completes it.

    Args:
        challenge: a token for `POST /auth/mfa`; without it, sign in with the password first.
        methods: the methods of this account; empty if it has no factor yet. Then
            `POST /auth/mfa/totp` adds one.
        expires_at: Unix time in seconds.
    """

    code = "mfa_required"
    detail = "A second factor is required to sign in"
    commit_on_error = True  # keeps the challenge

    def __init__(
        self, challenge: str = "", methods: Sequence[str] = (), expires_at: int = 0
    ) -> None:
        super().__init__()
        self.challenge = challenge
        self.methods = methods
        if challenge:
            self.members = {
                "challenge": challenge,
                "methods": list(methods),
                "expires_at": expires_at,
            }


class StepUpRequired(PermissionDenied):
    """The session must authenticate again (RFC 9470); for "oidc", by one of `providers`."""

    code = "step_up_required"
    detail = "Authenticate again to continue"

    def __init__(self, methods: Sequence[str], providers: Sequence[str] = ()) -> None:
        super().__init__(SIGN_IN_AGAIN if PASSWORD_RESET in methods else None)
        self.members = {"max_age": settings.STEP_UP_MINUTES * 60, "methods": list(methods)}
        self.members |= {"providers": list(providers)} if providers else {}


class FreshSignInRequired(StepUpRequired):
    """The user authenticated too long ago to add the first second factor."""

    detail = SIGN_IN_AGAIN  # there is no session that `POST /auth/step-up` could renew
    commit_on_error = True  # keeps the account of a first sign-in, and the audit event


class Impersonating(PermissionDenied):
    """A superuser who impersonates a user cannot use or change the user's credentials."""

    code = "impersonating"
    detail = "Not available while you impersonate a user"


class InactiveUser(Rejected):
    code = "inactive_user"
    detail = "Inactive user"
    commit_on_error = True


@dataclass(frozen=True, slots=True)
class AuthenticatedUser:
    """
    Attributes:
        user: the user's row when the password was verified.
        attempt: the reservation to refund when the sign-in succeeds.
        started_at: `time.monotonic()` at the start of the attempt.
    """

    user: Candidate
    attempt: Reservation
    started_at: float


async def authenticate_credentials(
    database: Database, email: str, password: str, client: Client, device: str | None
) -> AuthenticatedUser:
    """Return the user with this e-mail and password.

    The user may change before the session is written. `queries.sign_in.start_session` checks that.

    Args:
        device: the value of the device cookie (`security/devices.py`).

    Raises:
        WrongCredentials: unknown e-mail or wrong password; both do the same work.
        InactiveUser: the password is right.
        RateLimited: raised before the password is verified.
        Unavailable: the queue of passwords to hash is full.
    """
    started_at = monotonic()
    user = await queries.sign_in.find_candidate(database.reader, email)
    attempt = await reserve_attempt(database, email, user, client, device)
    try:
        user, is_right = await _authenticate(database, user, password)
    except Exception:
        await attempt.refund()  # the response does not reveal whether the password is right
        raise
    if user is None or not is_right:
        await _reject_after_delay(database, user, started_at)
    if not user.is_active:
        await _reject_after_delay(database, user, started_at, InactiveUser)
    return AuthenticatedUser(user, attempt, started_at)


async def find_device(db: Readable, email: str, device: str | None) -> KnownDevice | None:
    """Return the device of the cookie if the account of this e-mail has signed in on it."""
    if device is None:
        return None
    return _find_device(await queries.sign_in.find_candidate(db, email), email, device)


async def refund_on_success(authenticated: AuthenticatedUser, sign_in: Awaitable[T]) -> T:
    """Await the rest of a sign-in and refund the attempt. Delay a failure like any other."""
    try:
        result = await sign_in
    except WrongCredentials:
        await delay_failure(authenticated.started_at)
        raise
    except MfaRequired:
        # The password is right. Beyond a number of pending sign-ins, it counts as if it were wrong:
        # someone who knows it must not replace those of the owner.
        if await throttle.allows_challenge(authenticated.user.id):
            await authenticated.attempt.refund()
        raise
    await authenticated.attempt.refund()
    return result


async def build_step_up(
    db: AsyncSession, user_id: int, error: type[StepUpRequired] = StepUpRequired
) -> StepUpRequired:
    methods = await find_step_up_methods(db, user_id)
    return error(methods, await _find_timed_providers(db, user_id) if "oidc" in methods else ())


async def find_step_up_methods(db: AsyncSession, user_id: int) -> list[str]:
    """Return the methods with which this user can authenticate again.

    "oidc" (with `fresh=true`), "email_code" and "password_reset" are none of `POST /auth/step-up`:
    a user without a password and a factor signs in again, which starts a new session.
    """
    if methods := await factor_methods.find_available(db, user_id):
        return methods
    if not await queries.user.lacks_password(db, user_id):
        return ["password"]
    methods = ["oidc"] if await _find_timed_providers(db, user_id) else []
    methods += ["email_code"] if settings.EMAIL_CODES else []
    return [*methods, PASSWORD_RESET]


async def _find_timed_providers(db: AsyncSession, user_id: int) -> list[str]:
    identities = await queries.identity.get_all(db, user_id)
    return providers.find_timed(it.provider for it in identities)


def is_recent(authenticated_at: datetime) -> bool:
    """Return whether a session that authenticated then need not authenticate again.

    The time is the database's. A later one than ours is recent within `CLOCK_SKEW`.
    """
    age = datetime.now(UTC) - authenticated_at
    return -CLOCK_SKEW <= age <= timedelta(minutes=settings.STEP_UP_MINUTES)


def refuse_impersonation() -> None:
    """
    Raises:
        Impersonating: the current request is of a superuser who impersonates the user.
    """
    request = current_request()
    if request and request.acting_user_id is not None:
        raise Impersonating


async def reject_changed_user(db: Database | AsyncSession, user_id: int) -> NoReturn:
    """Audit and reject a sign-in whose user changed after the password was verified."""
    if isinstance(db, Database):
        async with db.transaction() as session:
            _reject(session, user_id, WrongCredentials)
    _reject(db, user_id, WrongCredentials)


async def _reject_after_delay(
    database: Database,
    user: Candidate | None,
    started_at: float,
    error: type[PlinthError] = WrongCredentials,
) -> NoReturn:
    await delay_failure(started_at)
    async with database.transaction() as db:
        _reject(db, user.id if user else None, error)


async def delay_failure(started_at: float) -> None:
    """Sleep until `LOGIN_FAILURE_MS` after the start, so that every failed sign-in takes as long.

    An imported bcrypt hash takes ten times as long to verify as an argon2 hash. Without the delay,
    the response time would reveal which e-mails have one.
    """
    await asyncio.sleep(started_at + settings.LOGIN_FAILURE_MS / 1000 - monotonic())


def _reject(db: AsyncSession, user_id: int | None, error: type[PlinthError]) -> NoReturn:
    audit.record(db, "session.started", outcome="failure", subject_id=user_id, reason=error.detail)
    raise error


async def reserve_attempt(
    database: Database, email: str, user: Candidate | None, client: Client, device: str | None
) -> Reservation:
    """Reserve a sign-in attempt, and audit the first one over the limit.

    Args:
        user: the account of the e-mail, if any.
        device: the value of the device cookie.

    Raises:
        RateLimited
    """
    try:
        return await throttle.limit_sign_in(email, client, _find_device(user, email, device))
    except RateLimited as error:
        if error.is_first:
            await _record_limit(database, user, error)
        raise


def _find_device(user: Candidate | None, email: str, cookie: str | None) -> KnownDevice | None:
    if user is None:
        return None
    account = devices.Account(user.id, user.credential_epoch)
    device = devices.recognize_device(cookie, account, email=email)
    return KnownDevice(device, account) if device else None


async def _record_limit(database: Database, user: Candidate | None, error: RateLimited) -> None:
    limits = ", ".join(limit.name for limit in error.exceeded)
    async with database.transaction() as db:
        audit.record(
            db,
            "session.limited",
            outcome="failure",
            subject_id=user.id if user else None,
            reason=f"too many sign-ins: {limits}",
        )


async def _authenticate(
    database: Database, user: Candidate | None, password: str
) -> tuple[Candidate | None, bool]:
    """Return the user, and whether the password is right. Replace an outdated hash.

    No database connection is held while the password is verified.
    """
    verdict = await verify_password(password, user.hashed_password if user else None)
    if user is None or verdict is not Verdict.RIGHT_BUT_OLD:
        return user, bool(verdict)
    async with database.transaction() as db:
        epoch = await queries.user.renew_hash(db, user.id, user.hashed_password, password)
    return (user, False) if epoch is None else (user._replace(credential_epoch=epoch), True)
