"""Second factors of a user: enrollment, removal, recovery codes, and reset by an operator.

Each change increments the user's `credential_epoch`, which voids pending sign-ins and device
cookies, and notifies the owner.
"""

from collections.abc import Sequence
from typing import NoReturn
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.methods import AMR, METHODS, MethodName, recovery_codes, totp
from plinth.accounts.models import Factor, User
from plinth.accounts.queries.principal import Principal
from plinth.accounts.services import accounts, audit, credentials, throttle
from plinth.config import settings
from plinth.db.database import after_commit, release
from plinth.errors import NotFound, Rejected
from plinth.security.devices import Account
from plinth.security.passwords import NO_PASSWORD


class FactorNotFound(NotFound):
    code = "factor_not_found"
    detail = "Second factor not found"


class WrongCode(Rejected):
    code = "wrong_code"
    detail = "The code is wrong, expired, or was used before"
    commit_on_error = True  # keeps the audit event


class TooManyFactors(Rejected):
    code = "too_many_factors"
    detail = f"An account can have {queries.factor.MAX_FACTORS} second factors: remove one first"


class NoFactor(Rejected):
    code = "no_factor"
    detail = "Recovery codes replace a second factor: add one first"


class FactorRequired(Rejected):
    code = "factor_required"
    detail = "This account must have a second factor: add another one first"


class LastWayIn(Rejected):
    code = "last_way_in"
    detail = "This is the only way to sign in to this account: set a password or add another first"


async def list_factors(db: AsyncSession, user_id: int) -> Sequence[Factor]:
    return await queries.factor.get_all(db, user_id)


async def add_totp(db: AsyncSession, caller: Principal, name: str) -> totp.NewTotp:
    """Add an authenticator app, which counts once `confirm` has verified a code of it.

    Raises:
        TooManyFactors
    """
    user = await lock_to_add(db, caller)
    return await totp.add(db, user, name)


async def lock_to_add(db: AsyncSession, caller: Principal) -> User:
    """Return the user, with the row locked, if another factor may be added.

    Raises:
        TooManyFactors
    """
    user = await accounts.lock_caller(db, caller.id, caller.session_id)
    if len(await queries.factor.get_all(db, user.id)) >= queries.factor.MAX_FACTORS:
        raise TooManyFactors
    return user


async def confirm(db: AsyncSession, caller: Principal, factor_id: UUID, code: str) -> None:
    """Confirm an authenticator app with a code. The caller's session stays; the others end.

    Raises:
        FactorNotFound: there is no unconfirmed factor with this id.
        RateLimited
        WrongCode
    """
    account = await accounts.get(db, caller.id)
    await release(db)
    attempt = await throttle.limit_step_up(
        Account(account.id, account.credential_epoch), caller.session_id
    )
    user = await accounts.lock_caller(db, caller.id, caller.session_id)
    unconfirmed = await queries.factor.get_totp(db, user.id, confirmed=False)
    if factor_id not in {it.factor_id for it in unconfirmed}:
        raise FactorNotFound
    confirmed = await use_first_code(db, user, code)
    await confirm_within_session(db, user, caller, confirmed, "totp")
    after_commit(db, attempt.refund)


async def use_first_code(db: AsyncSession, user: User, code: str) -> UUID:
    """Use up a code of the user's unconfirmed authenticator app and return the app's id.

    Raises:
        WrongCode
    """
    factor_id = await totp.use_unconfirmed(db, user.id, code)
    if factor_id is None:
        reject_code(db, user.id)
    return factor_id


async def confirm_within_session(
    db: AsyncSession, user: User, caller: Principal, factor_id: UUID, method: MethodName
) -> None:
    """Make a factor count and raise the level of the caller's session. The other sessions end."""
    await confirm_locked(db, user, factor_id, method, keep=caller.session_id)
    amr = join_amr(caller.amr, AMR[method])
    await queries.factor.raise_level(db, caller.session_id, aal=2, amr=amr)


async def confirm_locked(
    db: AsyncSession, user: User, factor_id: UUID, method: MethodName, *, keep: UUID | None
) -> None:
    """Make a factor count and end the sessions, except `keep`. The user's row is locked."""
    await queries.factor.confirm(db, factor_id)
    await queries.session.revoke_all(db, user.id, "second factor added", keep=keep)
    await _record_change(db, user, "factor.added", "factor_added", reason=method)


async def rename(db: AsyncSession, user_id: int, factor_id: UUID, name: str) -> Factor:
    """
    Raises:
        FactorNotFound
    """
    factor = await queries.factor.rename(db, user_id, factor_id, name)
    if factor is None:
        raise FactorNotFound
    return factor


async def remove(db: AsyncSession, caller: Principal, factor_id: UUID) -> None:
    """Remove a factor. Removing the last one removes the recovery codes as well.

    Raises:
        FactorNotFound
        FactorRequired: it is the last one, and `MFA_REQUIRED` requires one.
        LastWayIn: the account would have no way to sign in.
    """
    user = await accounts.lock_caller(db, caller.id, caller.session_id)
    factor = await queries.factor.remove(db, user.id, factor_id)
    if factor is None:
        raise FactorNotFound
    if factor.confirmed_at is None:
        return
    if factor.kind == queries.passkey.PASSKEY:
        await require_way_in(db, user)
    if not await queries.factor.get_confirmed_kinds(db, user.id):
        if is_required(user):
            raise FactorRequired
        await queries.factor.remove_all(db, user.id)
    await _record_change(db, user, "factor.removed", "factor_removed", reason=factor.kind)


async def require_way_in(db: AsyncSession, user: User) -> None:
    """Require that the account still has a way to sign in, after one was removed.

    Raises:
        LastWayIn: the account has no password, gets no codes by mail, and has no identity and no
            passkey that signs in alone.
    """
    gets_codes = settings.EMAIL_CODES and user.is_verified
    if user.hashed_password != NO_PASSWORD or gets_codes:
        return
    if not await queries.identity.has_way_in(db, user.id, settings.OIDC_PROVIDERS):
        raise LastWayIn


async def make_recovery_codes(db: AsyncSession, caller: Principal) -> list[str]:
    """Replace the recovery codes of a user and return the new ones, which are not stored.

    Raises:
        NoFactor
    """
    user = await accounts.lock_caller(db, caller.id, caller.session_id)
    if not await queries.factor.get_confirmed_kinds(db, user.id):
        raise NoFactor
    codes = await recovery_codes.replace(db, user.id)
    audit.record(db, "recovery_codes.replaced", subject_id=user.id)
    await credentials.notify(db, user, "recovery_codes_replaced", page=credentials.FORGOT_PAGE)
    return codes


async def reset(db: AsyncSession, user_id: int) -> int:
    """Remove all factors and recovery codes of a user, and end the sessions. For operators.

    Returns:
        The number of factors that counted.

    Raises:
        UserNotFound
    """
    user = await accounts.get_locked(db, user_id)
    removed = await queries.factor.remove_all(db, user_id)
    await queries.session.revoke_all(db, user_id, "second factors reset")
    await _record_change(db, user, "factor.reset", "factor_removed", reason=f"{removed} factors")
    return removed


async def use_code(db: AsyncSession, user: User, method: str, code: str) -> None:
    """Verify and use up a code of a user whose row is locked.

    Raises:
        WrongCode
    """
    if method not in METHODS or not await METHODS[method].use(db, user.id, code):
        reject_code(db, user.id)
    if method == recovery_codes.METHOD.name:
        left = await queries.factor.count_recovery_codes(db, user.id)
        audit.record(db, "recovery_code.used", actor_id=user.id, subject_id=user.id)
        await credentials.notify(
            db, user, "recovery_code_used", page=credentials.FORGOT_PAGE, left=str(left)
        )


def reject_code(db: AsyncSession, user_id: int) -> NoReturn:
    record_failure(db, user_id, "wrong code")
    raise WrongCode


def record_failure(db: AsyncSession, user_id: int | None, reason: str) -> None:
    audit.record(db, "factor.used", outcome="failure", subject_id=user_id, reason=reason)


def is_required(user: User) -> bool:
    """Return whether `MFA_REQUIRED` requires a second factor of this user."""
    return settings.MFA_REQUIRED == "all" or (
        settings.MFA_REQUIRED == "superusers" and user.is_superuser
    )


def join_amr(*methods: str) -> str:
    """Return all methods once, separated by spaces."""
    return " ".join(dict.fromkeys(" ".join(methods).split()))


async def _record_change(
    db: AsyncSession, user: User, event: str, mail: str, *, reason: str
) -> None:
    await queries.factor.change_epoch(db, user)
    audit.record(db, event, subject_id=user.id, reason=reason)
    await credentials.notify(db, user, mail, page=credentials.FORGOT_PAGE)
