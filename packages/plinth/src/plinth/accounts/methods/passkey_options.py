"""The options with which a browser creates or uses a passkey (WebAuthn Level 3, section 5.4)."""

import hashlib

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.models import User
from plinth.accounts.schemas.passkey import (
    CreationOptions,
    Descriptor,
    RelyingPartyEntity,
    RequestOptions,
    UserEntity,
    encode,
)
from plinth.config import settings
from plinth.security.cookie_tokens import ChallengeToken


async def for_new(db: AsyncSession, user: User, token: ChallengeToken) -> CreationOptions:
    """Return the options to create a passkey of a user."""
    return CreationOptions(
        rp=RelyingPartyEntity(id=settings.RP_ID, name=settings.PROJECT_NAME),
        user=UserEntity(
            id=encode(await find_user_handle(db, user, token)),
            name=user.email,
            display_name=user.email,
        ),
        challenge=encode(token.data),
        timeout=_timeout(),
        exclude_credentials=await _describe(db, user),
    )


async def for_account(db: AsyncSession, user: User, token: ChallengeToken) -> RequestOptions:
    """Return the options to use one of the passkeys of a user."""
    return RequestOptions(
        challenge=encode(token.data),
        timeout=_timeout(),
        rp_id=settings.RP_ID,
        allow_credentials=await _describe(db, user),
        user_verification="preferred",
    )


def for_any_account(token: ChallengeToken) -> RequestOptions:
    """Return the options to sign in with any passkey that the browser has for us."""
    return RequestOptions(
        challenge=encode(token.data),
        timeout=_timeout(),
        rp_id=settings.RP_ID,
        allow_credentials=[],
        user_verification="required",
    )


async def find_user_handle(db: AsyncSession, user: User, token: ChallengeToken) -> bytes:
    """Return the handle of the user's other passkeys, or a new one.

    A new one is derived from the random challenge, so it need not be stored until the passkey is.
    """
    for passkey in await queries.passkey.describe_all(db, user.id):
        return passkey.user_handle
    return hashlib.sha256(b"plinth user handle\0" + token.data).digest()


async def _describe(db: AsyncSession, user: User) -> list[Descriptor]:
    return [
        Descriptor(id=encode(it.credential_id), transports=it.transports.split())
        for it in await queries.passkey.describe_all(db, user.id)
    ]


def _timeout() -> int:
    return settings.MFA_CHALLENGE_MINUTES * 60_000
