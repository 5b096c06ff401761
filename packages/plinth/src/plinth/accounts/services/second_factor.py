"""Complete a sign-in with a second factor, and authenticate again within a session (step-up)."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import methods as factor_methods
from plinth.accounts import queries
from plinth.accounts.methods import AMR, MethodName, totp
from plinth.accounts.models import User
from plinth.accounts.queries.challenge import Pending
from plinth.accounts.queries.principal import Principal
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
from plinth.accounts.services.sessions import SessionToken, SignedIn
from plinth.db.database import Database, after_commit, release
from plinth.errors import PermissionDenied, RateLimited, Rejected
from plinth.limits import Reservation
from plinth.request.client import Client
from plinth.security import devices
from plinth.security.cookie_tokens import ChallengeToken
from plinth.security.devices import Account
from plinth.security.passwords import verify_password


@dataclass(frozen=True, slots=True)
class Proof:
    """
    Attributes:
        challenge: of the pending sign-in.
    """

    challenge: str
    method: Literal["totp", "recovery_code"]
    code: str


class WrongPassword(accounts.WrongPassword):
    commit_on_error = True  # keeps the audit event


class MethodNotAccepted(Rejected):
    code = "method_not_accepted"
    detail = "This method is not enough for this account"


async def complete(
    database: Database,
    proof: Proof,
    client: Client,
    device: str | None = None,
    *,
    token: SessionToken | None = None,
    lifetime: timedelta | None = None,
    superusers_only: bool = False,
) -> SignedIn:
    """Complete a pending sign-in with a code of a second factor.

    An account without a factor confirms the one that it added with the challenge.

    Args:
        device: the value of the device cookie.
        token: with `lifetime`, as for `sessions.complete_sign_in`.

    Raises:
        InvalidChallenge: it expired or was completed, or the credentials changed.
        PermissionDenied: with `superusers_only`, the user is not a superuser.
        RateLimited: too many wrong codes for this account.
        WrongCode: the challenge stays valid.
    """
    parsed = challenges.parse(proof.challenge)
    attempt = await _reserve(database, parsed, proof.method, device)
    async with database.transaction() as db:
        user = await _get(db, await challenges.find(db, parsed), lock=True)
        if superusers_only and not user.is_superuser:
            raise PermissionDenied("Only superusers may sign in here")
        if await factor_methods.find_available(db, user.id):
            await factors.use_code(db, user, proof.method, proof.code)
            pending = await challenges.consume(db, parsed)
        else:
            factor_id = await _use_first_code(db, user, proof.method, proof.code)
            pending = await challenges.consume(db, parsed)
            await factors.confirm_locked(db, user, factor_id, keep=None)
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
        pending = await challenges.find(db, challenges.parse(challenge))
        user = await _get(db, pending, lock=True)
        if await factor_methods.find_available(db, user.id):
            raise MethodNotAccepted("This account has a second factor: sign in with it")
        return await totp.add(db, user, name)


async def step_up(db: AsyncSession, caller: Principal, method: MethodName, secret: str) -> None:
    """Authenticate again within a session, with the password or a code.

    Args:
        method: "password" is enough only for an account without a second factor.

    Raises:
        MethodNotAccepted
        RateLimited
        WrongCode
        WrongPassword
        Unavailable: the queue of passwords to hash is full.
    """
    if method not in await authentication.find_step_up_methods(db, caller.id):
        raise MethodNotAccepted
    if method == "password":
        await _verify_password(db, caller, secret)
    else:
        account = await accounts.get(db, caller.id)
        await release(db)
        attempt = await throttle.limit_step_up(
            Account(account.id, account.credential_epoch), caller.session_id
        )
        user = await accounts.lock_caller(db, caller.id, caller.session_id)
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


async def _use_first_code(db: AsyncSession, user: User, method: str, code: str) -> UUID:
    if method != totp.METHOD.name:
        factors.reject_code(db, user.id)
    return await factors.use_first_code(db, user, code)


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
