"""Sessions of the admin's pages: a row like any other, held by a cookie, for superusers alone."""

from datetime import timedelta
from typing import NoReturn
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.queries.principal import Principal, load_by_token
from plinth.accounts.services import audit, authentication, sessions
from plinth.accounts.services.authentication import AuthenticatedUser
from plinth.config import settings
from plinth.db.database import Database, after_commit
from plinth.errors import PermissionDenied
from plinth.request.client import Client
from plinth.security import devices
from plinth.security.cookie_tokens import CookieToken, make_cookie_token, parse_cookie_token


class NotASuperuser(PermissionDenied):
    detail = "Only superusers may enter"
    commit_on_error = True  # the audit log's row


async def sign_in(
    database: Database, email: str, password: str, client: Client, device: str | None = None
) -> tuple[CookieToken, devices.Account]:
    """As `sessions.sign_in`, with its limits and its errors. No access and no refresh token is made
    for the session, which ends after `ADMIN_SESSION_HOURS`.

    Raises:
        NotASuperuser: the password was right.
    """
    known = await authentication.authenticate_credentials(database, email, password, client, device)
    if not known.user.is_superuser:
        await _refuse(database, known)
    token = make_cookie_token(uuid4())
    lifetime = timedelta(hours=settings.ADMIN_SESSION_HOURS)
    beginning = sessions.complete_sign_in(
        database, known.user, ("password",), client, token=token, lifetime=lifetime
    )
    return token, (await authentication.refund_on_success(known, beginning)).account


async def authenticate(db: AsyncSession, cookie: str | None) -> Principal | None:
    """Whose cookie it is, as the database has them now; None where they may not be here."""
    token = parse_cookie_token(cookie) if cookie else None
    if token is None:
        return None
    user = await load_by_token(db, token.session_id, token.hash)
    if user is None or not (user.session_is_live and user.is_active and user.is_superuser):
        return None
    return user


async def _refuse(database: Database, known: AuthenticatedUser) -> NoReturn:
    async with database.transaction() as db:
        audit.record(
            db,
            "session.started",
            outcome="failure",
            actor_id=known.user.id,
            subject_id=known.user.id,
            reason="no superuser, at the admin's door",
        )
        after_commit(db, known.attempt.refund)
        raise NotASuperuser
