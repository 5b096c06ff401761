"""Add a passkey to an account."""

from typing import cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.methods import passkey_options
from plinth.accounts.models import Factor, Passkey, User
from plinth.accounts.queries.principal import Principal
from plinth.accounts.schemas.passkey import CreationOptions
from plinth.accounts.services import challenges, factors
from plinth.accounts.services.passkeys.ceremony import (
    REGISTER,
    challenge_lifetime,
    consume,
    hash_session,
    reject,
    relying_party,
)
from plinth.security import webauthn
from plinth.security.cookie_tokens import ChallengeToken
from plinth.security.webauthn import Registration

TRANSPORTS = ("ble", "hybrid", "internal", "nfc", "smart-card", "usb")  # section 5.8.4


async def begin(db: AsyncSession, caller: Principal) -> CreationOptions:
    """
    Raises:
        TooManyFactors
    """
    user = await factors.lock_to_add(db, caller)
    browser_hash = hash_session(caller.session_id)
    token, _ = await challenges.add(
        db, REGISTER, challenge_lifetime(), user=user, browser_hash=browser_hash
    )
    return await passkey_options.for_new(db, user, token)


async def register(
    db: AsyncSession, caller: Principal, name: str, registration: Registration
) -> Factor:
    """Add a passkey, which counts at once. The caller's other sessions end.

    Raises:
        InvalidPasskey
        TooManyFactors
    """
    user = await factors.lock_to_add(db, caller)
    token = await consume(db, REGISTER, registration.client_data, user, caller.session_id)
    factor_id = await add(db, user, name, registration, token)
    await factors.confirm_within_session(db, user, caller, factor_id, "passkey")
    return cast("Factor", await queries.factor.get(db, user.id, factor_id))


async def add(
    db: AsyncSession, user: User, name: str, registration: Registration, token: ChallengeToken
) -> UUID:
    """Verify and store a passkey, and return the id of its factor, which is not yet confirmed.

    Raises:
        InvalidPasskey
    """
    try:
        new = webauthn.verify_registration(relying_party(), registration, token.data)
    except webauthn.Refused as refused:
        reject(db, refused.reason, user)
    passkey = Passkey(
        credential_id=new.credential_id,
        user_handle=await passkey_options.find_user_handle(db, user, token),
        public_key=new.public_key,
        sign_count=new.state.sign_count,
        aaguid=new.aaguid,
        transports=" ".join(it for it in TRANSPORTS if it in registration.transports),
        is_user_verified=new.state.is_user_verified,
        is_backup_eligible=new.state.is_backup_eligible,
        is_backed_up=new.state.is_backed_up,
    )
    factor_id = await queries.passkey.add(db, user.id, name, passkey)
    if factor_id is None:
        reject(db, "known credential", user)
    return factor_id
