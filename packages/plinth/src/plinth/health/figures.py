"""What is worth watching in the database: docs/how-to/observability.md."""

from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

from plinth.accounts import queries
from plinth.config import settings
from plinth.db.database import Database
from plinth.errors import PlinthError
from plinth.health.collectors import ProcessFigures, SharedFigures
from plinth.observability.metrics.server import serving_metrics

NAMES = {
    "plinth_sessions_active": "Sign-ins that hold: neither ended nor run out.",
    "plinth_outbox_waiting": "Mails that wait to be sent.",
    "plinth_outbox_dead": "Mails that were given up, and lie there until they are forgotten.",
    "plinth_outbox_oldest_seconds": "The age of the mail that waits longest; 0 where none waits.",
}


def shown(database: Database, port: int) -> AbstractAsyncContextManager[int]:
    """Meanwhile they can be collected on `METRICS_HOST`, from the first free port on."""
    shared = SharedFigures(NAMES, lambda: take(database))
    return serving_metrics(settings.METRICS_HOST, port, [ProcessFigures(database), shared])


async def take(database: Database) -> dict[str, float]:
    """By their names; nothing where the database does not answer."""
    try:
        async with database.transaction() as db:
            sessions = await queries.session.count_live(db)
            outbox = await queries.mail.count(db)
    except PlinthError:
        return {}
    age = (datetime.now(UTC) - outbox.oldest).total_seconds() if outbox.oldest else 0
    return dict(zip(NAMES, (sessions, outbox.waiting, outbox.dead, max(age, 0)), strict=True))
