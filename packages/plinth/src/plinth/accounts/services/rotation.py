"""Rotate refresh tokens and detect replayed ones."""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.queries.rotation import Rotation
from plinth.accounts.services import audit, throttle
from plinth.accounts.services.authentication import MfaRequired
from plinth.accounts.services.sessions import Tokens, issue_tokens
from plinth.db.database import Database
from plinth.db.dataloader import DataLoader
from plinth.errors import Unauthenticated
from plinth.request.client import Client
from plinth.security.refresh_tokens import (
    RefreshToken,
    decrypt_successor,
    encrypt_successor,
    make_refresh_token,
    parse_refresh_token,
)


class InvalidRefreshToken(Unauthenticated):
    code = "invalid_refresh_token"
    detail = "Invalid refresh token"


class ReplayedRefreshToken(InvalidRefreshToken):
    """A used refresh token was sent again. The client gets the same response as for any invalid
    token."""

    commit_on_error = True  # keeps the revocation of the session


async def refresh(
    database: Database, rotations: DataLoader[Rotation, int], text: str, client: Client
) -> Tokens:
    """Rotate a refresh token and issue a new access token.

    For `GRACE_PERIOD` the previous token still returns the current one, so that a client that lost
    the response, or that has two tabs, stays signed in. An older token is a replay (RFC 9700,
    section 4.14.2).

    Args:
        rotations: the batched `rotate_idle`. A rotation that it omits is retried alone, after a
            rate limit.

    Raises:
        InvalidRefreshToken
        MfaRequired: `MFA_REQUIRED` requires a second factor, and the session has none. Without a
            challenge: a token is no password, so it must not add a factor.
        RateLimited
        ReplayedRefreshToken: the session is revoked.
    """
    token = parse_refresh_token(text)
    if token is None:
        raise InvalidRefreshToken
    if token.is_ours:
        return await _refresh(database, rotations, token)
    attempt = await throttle.limit_unknown_refresh(client)
    try:
        tokens = await _refresh(database, rotations, token)
    except InvalidRefreshToken:
        raise
    except Exception:
        await attempt.refund()  # the response does not reveal whether the token is valid
        raise
    await attempt.refund()
    return tokens


async def _refresh(
    database: Database, rotations: DataLoader[Rotation, int], token: RefreshToken
) -> Tokens:
    new = make_refresh_token(token.session_id)
    rotation = Rotation(token.session_id, token.hash, new.hash, encrypt_successor(new, token))
    user_id = await rotations.get(rotation)
    if user_id is None:
        if token.is_ours:
            await throttle.limit_refresh(token.session_id)
        user_id = await queries.rotation.rotate(database, rotation)
    if user_id is not None:
        return issue_tokens(user_id, new)
    async with database.transaction() as db:
        return await _handle_reused_token(db, token)


async def rotate_idle(database: Database, rotations: Sequence[Rotation]) -> Mapping[Rotation, int]:
    """Rotate sessions whose last use is older than the window of the refresh limit.

    This is the common case: one refresh in the lifetime of an access token. The limit cannot be
    used up then, so Redis is not queried.
    """
    return await queries.rotation.rotate_many(
        database, rotations, min_idle=throttle.refresh_window()
    )


async def _handle_reused_token(db: AsyncSession, token: RefreshToken) -> Tokens:
    if (
        grace := await queries.rotation.use_grace_period(db, token.session_id, token.hash)
    ) is not None:
        user_id, sealed = grace
        if sealed and (current := decrypt_successor(sealed, token)):
            return issue_tokens(user_id, current)
    elif token.is_ours and await queries.rotation.is_replay(db, token.session_id, token.hash):
        owner_id = await queries.session.revoke(db, token.session_id, "refresh token replayed")
        if owner_id is not None:
            audit.record(
                db,
                "session.replayed",
                outcome="failure",
                subject_id=owner_id,
                session_id=token.session_id,
                reason="a used refresh token was sent again; the session is revoked",
            )
        raise ReplayedRefreshToken
    elif await queries.rotation.lacks_factor(db, token.session_id, token.hash):
        raise MfaRequired
    raise InvalidRefreshToken
