"""Complete a sign-in with a second factor, and authenticate again within a session (step-up)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import methods as factor_methods
from plinth.accounts import queries
from plinth.accounts.methods import AMR, MethodName, passkey_options, totp
from plinth.accounts.models import User
from plinth.accounts.queries.challenge import Pending
from plinth.accounts.queries.principal import Principal
from plinth.accounts.schemas.passkey import CreationOptions, RequestOptions
from plinth.accounts.services import (
    accounts,
    audit,
    authentication,
    challenges,
    factors,
    sessions,
    throttle,
)
from plinth.accounts.services.challenges import InvalidChallenge
from plinth.accounts.services.passkeys import assertion, ceremony, registration
from plinth.accounts.services.sessions import SessionToken, SignedIn
from plinth.db.database import Database, after_commit, release
from plinth.errors import RateLimited, Rejected
from plinth.limits import Reservation
from plinth.request.client import Client
from plinth.security import devices
from plinth.security.cookie_tokens import ChallengeToken
from plinth.security.devices import Account
from plinth.security.passwords import verify_password
from plinth.security.webauthn import Assertion, Registration


@dataclass(frozen=True, slots=True)
class Proof:
    """
    Attributes:
        challenge: of the pending sign-in.
    """

    challenge: str
    method: Literal["totp", "recovery_code"]
    code: str


@dataclass(frozen=True, slots=True)
class PasskeyProof:
    challenge: str
    assertion: Assertion
    method: Literal["passkey"] = "passkey"


@dataclass(frozen=True, slots=True)
class NewPasskeyProof:
    """The first factor of an account that needs one to sign in."""

    challenge: str
    registration: Registration
    name: str
    method: Literal["passkey"] = "passkey"


AnyProof: TypeAlias = Proof | PasskeyProof | NewPasskeyProof


class WrongPassword(accounts.WrongPassword):
    commit_on_error = True  # keeps the audit event


class MethodNotAccepted(Rejected):
    code = "method_not_accepted"
    detail = "This method is not enough for this account"


async def complete(
    database: Database,
    proof: AnyProof,
    client: Client,
    device: str | None = None,
    *,
    token: SessionToken | None = None,
    lifetime: timedelta | None = None,
    admit: Callable[[AsyncSession, User], None] | None = None,
) -> SignedIn:
    """Complete a pending sign-in with a second factor.

    An account without a factor confirms the one that it adds with the challenge.

    Args:
        device: the value of the device cookie.
        token: with `lifetime`, as for `sessions.complete_sign_in`.
        admit: raises an error if the user may not sign in here.

    Raises:
        InvalidChallenge: it expired or was completed, or the credentials changed.
        InvalidPasskey: the challenge stays valid.
        RateLimited: too many wrong attempts for this account.
        WrongCode: the challenge stays valid.
    """
    parsed = challenges.parse(proof.challenge)
    attempt = await _reserve(database, parsed, proof.method, device)
    async with database.transaction() as db:
        pending = await challenges.find(db, parsed)
        user = await _get(db, pending, lock=True)
        if admit:
            admit(db, user)
        if await factor_methods.find_available(db, user.id):
            await _use(db, user, proof, parsed, pending)
            pending = await challenges.consume(db, parsed)
        else:
            factor_id = await _use_first(db, user, proof, parsed)
            pending = await challenges.consume(db, parsed)
            await factors.confirm_locked(db, user, factor_id, proof.method, keep=None)
        done = [name for name, amr in AMR.items() if amr in pending.amr.split()]
        signed_in = await sessions.complete_sign_in(
            db, user, [*done, proof.method], client, token=token, lifetime=lifetime
        )
        after_commit(db, attempt.refund)
    return signed_in


async def add_totp(database: Database, challenge: str, name: str) -> totp.NewTotp:
    """Add an authenticator app to an account that has no factor but needs one to sign in.

    Raises:
        InvalidChallenge
        MethodNotAccepted: the account has a factor already.
    """
    async with database.transaction() as db:
        user = await _lock_to_enroll(db, challenges.parse(challenge))
        return await totp.add(db, user, name)


async def begin_passkey(database: Database, challenge: str) -> RequestOptions:
    """Return the options to complete a pending sign-in with a passkey.

    Raises:
        InvalidChallenge
        MethodNotAccepted: the account has no passkey.
    """
    token = challenges.parse(challenge)
    async with database.transaction() as db:
        user = await _get(db, await challenges.find(db, token))
        options = await passkey_options.for_account(db, user, token)
    if not options.allow_credentials:
        raise MethodNotAccepted
    return options


async def begin_new_passkey(database: Database, challenge: str) -> CreationOptions:
    """Return the options to create a passkey as the first factor, and complete the sign-in with it.

    Raises:
        InvalidChallenge
        MethodNotAccepted: the account has a factor already.
    """
    token = challenges.parse(challenge)
    async with database.transaction() as db:
        user = await _lock_to_enroll(db, token)
        return await passkey_options.for_new(db, user, token)


async def step_up(
    db: AsyncSession, caller: Principal, method: MethodName, secret: str | Assertion
) -> None:
    """Authenticate again within a session.

    Args:
        method: "password" is enough only for an account without a second factor.
        secret: the password, a code, or the use of a passkey.

    Raises:
        InvalidPasskey
        MethodNotAccepted
        RateLimited
        WrongCode
        WrongPassword
        Unavailable: the queue of passwords to hash is full.
    """
    if method not in await authentication.find_step_up_methods(db, caller.id):
        raise MethodNotAccepted
    if method == "password" and isinstance(secret, str):
        await _verify_password(db, caller, secret)
    else:
        account = await accounts.get(db, caller.id)
        await release(db)
        attempt = await throttle.limit_step_up(
            Account(account.id, account.credential_epoch), caller.session_id
        )
        user = await accounts.lock_caller(db, caller.id, caller.session_id)
        if isinstance(secret, Assertion):
            await assertion.use_for_step_up(db, user, caller.session_id, secret)
        else:
            await factors.use_code(db, user, method, secret)
        after_commit(db, attempt.refund)
    amr = factors.join_amr(caller.amr, AMR[method])
    aal = 1 if method == "password" else 2
    await queries.factor.raise_level(db, caller.session_id, aal=aal, amr=amr)
    audit.record(db, "session.stepped_up", subject_id=caller.id, reason=method)


async def _reserve(
    database: Database, challenge: ChallengeToken, method: str, device: str | None
) -> Reservation:
    async with database.transaction() as db:
        pending = await challenges.find(db, challenge)
        user = await _get(db, pending)
    account = Account(user.id, user.credential_epoch)
    known = devices.recognize_device(device, account, email=user.email)
    try:
        return await throttle.limit_second_factor(account, method, known)
    except RateLimited as error:
        if error.is_first:
            exceeded = ", ".join(limit.name for limit in error.exceeded)
            async with database.transaction() as db:
                factors.record_failure(db, account.user_id, f"too many codes: {exceeded}")
        raise


async def _get(db: AsyncSession, pending: Pending, *, lock: bool = False) -> User:
    """Return the user of a challenge.

    Raises:
        InvalidChallenge: the credentials changed meanwhile.
    """
    if pending.user_id is None:
        raise InvalidChallenge
    user = await queries.user.get(db, pending.user_id, lock=lock)
    if user is None or user.credential_epoch != pending.credential_epoch:
        raise InvalidChallenge
    return user


async def _lock_to_enroll(db: AsyncSession, challenge: ChallengeToken) -> User:
    user = await _get(db, await challenges.find(db, challenge), lock=True)
    if await factor_methods.find_available(db, user.id):
        raise MethodNotAccepted("This account has a second factor: sign in with it")
    return user


async def _use(
    db: AsyncSession, user: User, proof: AnyProof, token: ChallengeToken, pending: Pending
) -> None:
    if isinstance(proof, NewPasskeyProof):
        raise MethodNotAccepted("This account has a second factor: sign in with it")
    if isinstance(proof, PasskeyProof):
        beside_password = AMR["password"] in pending.amr.split()
        await assertion.use(db, user, proof.assertion, token, beside_password=beside_password)
    else:
        await factors.use_code(db, user, proof.method, proof.code)


async def _use_first(db: AsyncSession, user: User, proof: AnyProof, token: ChallengeToken) -> UUID:
    """Use the first factor of an account and return its id. It does not count yet."""
    if isinstance(proof, NewPasskeyProof):
        return await registration.add(db, user, proof.name, proof.registration, token)
    if isinstance(proof, PasskeyProof):
        ceremony.reject(db, "unknown credential", user)
    if proof.method != totp.METHOD.name:
        factors.reject_code(db, user.id)
    return await factors.use_first_code(db, user, proof.code)


async def _verify_password(db: AsyncSession, caller: Principal, password: str) -> None:
    user = await accounts.get(db, caller.id)
    account, stored = Account(user.id, user.credential_epoch), user.hashed_password
    await release(db)
    attempt = await throttle.limit_password_check(account, caller.session_id)
    try:
        verdict = await verify_password(password, stored)
    except Exception:
        await attempt.refund()  # the response does not reveal whether the password is right
        raise
    if not verdict:
        audit.record(db, "session.stepped_up", outcome="failure", subject_id=caller.id)
        raise WrongPassword
    await attempt.refund()
    user = await accounts.lock_caller(db, caller.id, caller.session_id)
    if user.hashed_password != stored:
        raise accounts.WrongPassword
