"""Report the sizes of the tables that grow, and whether retention keeps up with them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from plinth.accounts import queries
from plinth.cli.application import load_metadata
from plinth.cli.doctor import Finding, doubtful, fine
from plinth.config import Settings
from plinth.db.database import Database
from plinth.db.retention import TableSize, get_sizes
from plinth.errors import PlinthError
from plinth.organizations.services.retention import RULES

NAME = "tables"
SHOWN = 3
LARGE_ROWS, LARGE_BYTES = 10_000_000, 10 * 1024**3
MAX_DELAY = timedelta(days=2)  # retention deletes events when the oldest is one day too old


@dataclass(frozen=True, slots=True)
class Facts:
    sizes: list[TableSize]
    oldest_event: datetime | None


async def examine(url: str, settings: Settings) -> list[Finding]:
    """Return no finding if the database is unreachable or not migrated, as `database.py` does."""
    database = Database(url, settings, load_metadata())
    try:
        async with database.transaction() as db:
            facts = Facts(await get_sizes(db, RULES), await queries.event.find_oldest_time(db))
    except (PlinthError, SQLAlchemyError):
        return []
    finally:
        await database.close()
    return [check_sizes(facts, settings), check_events(facts, settings)]


def check_sizes(facts: Facts, settings: Settings) -> Finding:
    text = "; ".join(map(describe, facts.sizes[:SHOWN]))
    large = [size.table for size in facts.sizes if is_large(size)]
    if "events" in large and not settings.EVENT_KEEP_DAYS:
        return doubtful(
            NAME,
            text,
            "Events are kept for ever. Set EVENT_KEEP_DAYS to delete old ones "
            "(docs/explanation/audit.md).",
        )
    if others := [name for name in large if name != "events"]:
        return doubtful(
            NAME,
            text,
            "Check that a worker runs (MAIL_WORKER or `plinth worker`), or run `plinth db prune`. "
            f"If {', '.join(others)} stays large, lower SESSION_KEEP_DAYS or MAIL_KEEP_DAYS.",
        )
    return fine(NAME, text)


def check_events(facts: Facts, settings: Settings) -> Finding:
    days = settings.EVENT_KEEP_DAYS
    if not days:
        return fine("retention", "events are kept for ever (EVENT_KEEP_DAYS is 0)")
    text = f"events are deleted after {days} days"
    limit = datetime.now(UTC) - timedelta(days=days) - MAX_DELAY
    if facts.oldest_event and facts.oldest_event < limit:
        return doubtful(
            "retention",
            f"{text}, but there are events of {facts.oldest_event:%Y-%m-%d}",
            "Check that a worker runs (MAIL_WORKER or `plinth worker`). If one does, run "
            "`plinth db prune`, which prints why events are not deleted.",
        )
    return fine("retention", text)


def is_large(size: TableSize) -> bool:
    return size.rows >= LARGE_ROWS or size.bytes >= LARGE_BYTES


def describe(size: TableSize) -> str:
    table, indexes = show_bytes(size.table_bytes), show_bytes(size.index_bytes)
    return f"{size.table} has about {size.rows:,} rows, {table} and {indexes} of indexes"


def show_bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1024:  # noqa: PLR2004
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GB"
