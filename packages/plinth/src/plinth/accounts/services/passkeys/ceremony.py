"""Parts of both ceremonies: the challenge, the relying party, and a refusal."""

import hashlib
from datetime import timedelta
from typing import NoReturn
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.models import User
from plinth.accounts.schemas.passkey import encode
from plinth.accounts.services import challenges, factors
from plinth.accounts.services.challenges import InvalidChallenge
from plinth.config import settings
from plinth.errors import Rejected
from plinth.security import webauthn
from plinth.security.cookie_tokens import ChallengeToken, parse_challenge_token
from plinth.security.webauthn import RelyingParty

REGISTER, SIGN_IN, STEP_UP = "passkey_register", "passkey_sign_in", "passkey_step_up"


class InvalidPasskey(Rejected):
    """The audit event has the reason. The client gets the same response for each."""

    code = "invalid_passkey"
    detail = "The passkey was not accepted: try again"
    commit_on_error = True  # keeps the audit event, and the challenge used up


async def consume(
    db: AsyncSession,
    kind: str,
    client_data: bytes,
    user: User | None = None,
    session_id: UUID | None = None,
) -> ChallengeToken:
    """Use up the challenge that the browser signed, and return its token.

    Args:
        user: whose challenge it must be.
        session_id: the session in which it must have begun.

    Raises:
        InvalidPasskey
    """
    try:
        challenge = webauthn.read_challenge(client_data)
    except webauthn.Refused as refused:
        reject(db, refused.reason, user)
    token = parse_challenge_token(encode(challenge))
    if token is None:
        reject(db, "wrong challenge", user)
    try:
        pending = await challenges.consume(db, token, kind, hash_session(session_id))
    except InvalidChallenge:
        reject(db, "wrong challenge", user)
    if pending.user_id != (user.id if user else None):
        reject(db, "wrong challenge", user)
    return token


def hash_session(session_id: UUID | None) -> bytes | None:
    """Return the `browser_hash` of a challenge that only one session can use."""
    return hashlib.sha256(session_id.bytes).digest() if session_id else None


def reject(db: AsyncSession, reason: str, user: User | None = None) -> NoReturn:
    factors.record_failure(db, user.id if user else None, f"passkey: {reason}")
    raise InvalidPasskey


def relying_party() -> RelyingParty:
    return RelyingParty(settings.RP_ID, settings.PASSKEY_ORIGINS)


def challenge_lifetime() -> timedelta:
    return timedelta(minutes=settings.MFA_CHALLENGE_MINUTES)
