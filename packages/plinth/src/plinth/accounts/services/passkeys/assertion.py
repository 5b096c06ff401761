"""Use a passkey: to sign in with nothing else, beside a password, or within a session."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.methods import passkey_options
from plinth.accounts.models import User
from plinth.accounts.queries.passkey import Stored
from plinth.accounts.queries.principal import Principal
from plinth.accounts.schemas.passkey import RequestOptions
from plinth.accounts.services import accounts, audit, challenges, factors, sessions, throttle
from plinth.accounts.services.authentication import InactiveUser
from plinth.accounts.services.passkeys.ceremony import (
    SIGN_IN,
    STEP_UP,
    challenge_lifetime,
    consume,
    hash_session,
    reject,
    relying_party,
)
from plinth.accounts.services.sessions import SessionToken, SignedIn
from plinth.db.database import Database, after_commit
from plinth.request.client import Client
from plinth.security import webauthn
from plinth.security.cookie_tokens import ChallengeToken
from plinth.security.webauthn import Assertion


async def begin_sign_in(database: Database, client: Client) -> RequestOptions:
    """
    Raises:
        RateLimited
    """
    await throttle.limit_passkey_options(client)
    async with database.transaction() as db:
        token, _ = await challenges.add(db, SIGN_IN, challenge_lifetime())
    return passkey_options.for_any_account(token)


async def sign_in(
    database: Database,
    assertion: Assertion,
    client: Client,
    *,
    token: SessionToken | None = None,
    lifetime: timedelta | None = None,
    admit: Callable[[AsyncSession, User], None] | None = None,
) -> SignedIn:
    """Sign in with a passkey that verified its user, and with nothing else.

    Args:
        token: with `lifetime`, as for `sessions.complete_sign_in`.
        admit: raises an error if the user may not sign in here.

    Raises:
        InactiveUser: the passkey is right.
        InvalidPasskey
        RateLimited
    """
    attempt = await throttle.limit_passkey(client)
    async with database.transaction() as db:
        challenge = await consume(db, SIGN_IN, assertion.client_data)
        owner_id = await queries.passkey.find_owner(db, assertion.credential_id)
        user = await queries.user.get(db, owner_id, lock=True) if owner_id else None
        if user is None:
            reject(db, "unknown credential")
        await use(db, user, assertion, challenge, alone=True)
        if not user.is_active:
            factors.record_failure(db, user.id, InactiveUser.detail)
            raise InactiveUser
        if admit:
            admit(db, user)
        signed_in = await sessions.complete_sign_in(
            db, user, ("passkey",), client, token=token, lifetime=lifetime
        )
        after_commit(db, attempt.refund)
    return signed_in


async def begin_step_up(db: AsyncSession, caller: Principal) -> RequestOptions:
    user = await accounts.lock_caller(db, caller.id, caller.session_id)
    browser_hash = hash_session(caller.session_id)
    token, _ = await challenges.add(
        db, STEP_UP, challenge_lifetime(), user=user, browser_hash=browser_hash
    )
    return await passkey_options.for_account(db, user, token)


async def use_for_step_up(
    db: AsyncSession, user: User, session_id: UUID, assertion: Assertion
) -> None:
    """Use a passkey of a user whose row is locked, in the session of `begin_step_up`.

    Raises:
        InvalidPasskey
    """
    token = await consume(db, STEP_UP, assertion.client_data, user, session_id)
    await use(db, user, assertion, token)


async def use(
    db: AsyncSession,
    user: User,
    assertion: Assertion,
    token: ChallengeToken,
    *,
    alone: bool = False,
    beside_password: bool = False,
) -> None:
    """Verify the use of a passkey of a user whose row is locked, and record it.

    Args:
        alone: nothing else authenticates the user, so the passkey must have verified the user, now
            and earlier. A security key without a PIN lets its finder set one.
        beside_password: the user has typed the password, so a first verification counts from now
            on (section 7.2, `uvInitialized`).

    Raises:
        InvalidPasskey
    """
    stored = await queries.passkey.get(db, user.id, assertion.credential_id)
    if stored is None:
        reject(db, "unknown credential", user)
    if assertion.user_handle != stored.user_handle and (alone or assertion.user_handle is not None):
        reject(db, "wrong user handle", user)
    try:
        state = webauthn.verify_assertion(relying_party(), assertion, token.data, stored.public_key)
    except webauthn.Refused as refused:
        reject(db, refused.reason, user)
    if state.is_backup_eligible != stored.is_backup_eligible:
        reject(db, "backup eligibility changed", user)
    if alone and not (state.is_user_verified and stored.is_user_verified):
        reject(db, "user not verified", user)
    _check_counter(db, user, stored, state.sign_count)
    await queries.passkey.record_use(
        db,
        stored.factor_id,
        sign_count=state.sign_count,
        is_user_verified=stored.is_user_verified or (beside_password and state.is_user_verified),
        is_backed_up=state.is_backed_up,
    )


def _check_counter(db: AsyncSession, user: User, stored: Stored, sign_count: int) -> None:
    """Audit a signature counter that did not increase: the passkey may have been copied.

    A synchronized passkey has no counter. A faulty authenticator must not lock its owner out.
    """
    if (sign_count or stored.sign_count) and sign_count <= stored.sign_count:
        audit.record(
            db,
            "passkey.counter_decreased",
            outcome="failure",
            actor_id=user.id,
            subject_id=user.id,
            reason=f"factor {stored.factor_id}: {sign_count} after {stored.sign_count}",
        )
