"""The rules by which old rows of the library's tables are deleted (`plinth.db.retention`)."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, or_

from plinth.accounts import queries
from plinth.accounts.models import ApiKey, Challenge, EarlierOneTimeToken, Mail, OneTimeToken
from plinth.accounts.services.audit.pruning import prune_in_batches
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.retention import RetentionRule, in_order_of
from plinth.resources import idempotency


def get_mail_age() -> timedelta:
    return timedelta(days=settings.MAIL_KEEP_DAYS)


def get_session_age() -> timedelta:
    return timedelta(days=settings.SESSION_KEEP_DAYS)


async def delete_ended_sessions(database: Database) -> AsyncIterator[int]:
    """Delete the sessions that ended `SESSION_KEEP_DAYS` ago.

    The rows of a batch are scattered over the table. A separate transaction reads them first, so
    that the one that locks them does not wait for the disk.
    """
    keep = get_session_age()
    after: UUID | None = queries.session_cleanup.FIRST_ID
    while after is not None:
        async with database.transaction() as db:
            after, ids = await queries.session_cleanup.scan(db, after, keep=keep)
        yield await queries.session_cleanup.remove(database, ids) if ids else 0


async def delete_sessions_of_users(database: Database) -> AsyncIterator[int]:
    """Delete the ended sessions of the users in `session_cleanups`."""
    while True:
        async with database.transaction() as db:
            count = await queries.session_cleanup.clean_user(db)
        if count is None:
            return
        yield count


RULES = (
    RetentionRule("session_cleanups", delete_sessions_of_users, interval_seconds=0),
    RetentionRule("sessions", delete_ended_sessions),
    RetentionRule("events", prune_in_batches),
    RetentionRule(
        "mails",
        in_order_of(
            Mail,
            Mail.created_at,
            or_(Mail.sent_at.is_not(None), Mail.dead_at.is_not(None)),
            older_than=get_mail_age,
        ),
    ),
    RetentionRule(
        "api_keys",
        in_order_of(
            ApiKey, func.least(ApiKey.revoked_at, ApiKey.expires_at), older_than=get_session_age
        ),
    ),
    RetentionRule("challenges", in_order_of(Challenge, Challenge.expires_at)),
    RetentionRule(
        "earlier_one_time_tokens", in_order_of(EarlierOneTimeToken, EarlierOneTimeToken.expires_at)
    ),
    RetentionRule("one_time_tokens", in_order_of(OneTimeToken, OneTimeToken.expires_at)),
    RetentionRule(
        "idempotency_keys",
        in_order_of(
            idempotency.IdempotencyKey,
            idempotency.IdempotencyKey.created_at,
            older_than=lambda: idempotency.RETENTION,
        ),
    ),
)
