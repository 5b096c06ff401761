"""Deletion of rows that are no longer needed, in small transactions.

Each table that grows has a rule; `organizations/services/retention.py` lists all of them. The rules
run in `retention_worker`, which the server and `plinth worker` start, and in `plinth db prune`.
Several processes may run them at the same time.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Interval,
    SQLColumnExpression,
    and_,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.db.database import Database
from plinth.db.models import Base
from plinth.db.reading import Query
from plinth.errors import PlinthError
from plinth.observability import metrics

logger = logging.getLogger(__name__)

BATCH_SIZE = 1000  # takes 5 to 15 ms (docs/explanation/decisions/retention.md)
PAUSE_SECONDS = 0.05  # between batches, for the other transactions
POLL_SECONDS = 5
RETRY_SECONDS = 60
INTERVAL_SECONDS = 3600
SHUTDOWN_SECONDS = 5
EPOCH = datetime.fromtimestamp(0, UTC)

SIZES = """
SELECT relname, greatest(reltuples, 0)::bigint, pg_table_size(oid), pg_indexes_size(oid)
FROM pg_class WHERE oid IN (SELECT to_regclass(name) FROM unnest(CAST(:tables AS text[])) AS name)
"""

Batches = Callable[[Database], AsyncIterator[int]]


class RetentionError(Exception):
    """Rows must not be deleted. The message has the reason."""


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """
    Attributes:
        batches: deletes the old rows of the table, in transactions of at most `BATCH_SIZE` rows.
            After each, it yields the number of deleted rows.
        interval_seconds: from the end of a sweep of the table to the start of the next.
    """

    table: str
    batches: Batches
    interval_seconds: float = INTERVAL_SECONDS


@dataclass(frozen=True, slots=True)
class TableSize:
    """
    Attributes:
        rows: as estimated by the last ANALYZE or VACUUM.
    """

    table: str
    rows: int
    table_bytes: int
    index_bytes: int

    @property
    def bytes(self) -> int:
        return self.table_bytes + self.index_bytes


async def get_sizes(db: AsyncSession, rules: Sequence[RetentionRule]) -> list[TableSize]:
    """Return the sizes of the rules' tables, largest first."""
    rows = await db.execute(text(SIZES), {"tables": [rule.table for rule in rules]})
    return sorted((TableSize(*row) for row in rows), key=lambda size: size.bytes, reverse=True)


def in_order_of(
    model: type[Base],
    time: SQLColumnExpression[datetime],
    *conditions: ColumnElement[bool],
    older_than: Callable[[], timedelta] = timedelta,
) -> Batches:
    """Make the batches of a rule that deletes rows by their age, oldest first.

    A batch starts at the time where the previous one ended. Otherwise it would read the index
    entries of all rows that were deleted and are not yet vacuumed.

    Args:
        time: from which the age counts; a column with an index, unless the table is small.
        conditions: further conditions of the rows.
        older_than: the age, read before each batch.
    """

    async def delete_in_batches(database: Database) -> AsyncIterator[int]:
        query, since = _make_query(model, time, conditions), EPOCH
        while True:
            values = {"age": older_than(), "since": since}
            (row,) = await database.execute_autocommit(query, **values)
            yield row.count
            if row.count < BATCH_SIZE:
                return
            since = row.newest

    return delete_in_batches


def _make_query(
    model: type[Base],
    time: SQLColumnExpression[datetime],
    conditions: Sequence[ColumnElement[bool]],
) -> Query:
    """Make a statement that deletes a batch. It skips rows that another transaction has locked.

    PostgreSQL plans it for the literal in LIMIT. For a parameter, it could choose to read the whole
    table.
    """
    table: Any = model.__table__
    since, age = bindparam("since", type_=DateTime(timezone=True)), bindparam("age", type_=Interval)
    old = (
        select(*table.primary_key.columns)
        .where(time >= since, time < func.now() - age, *conditions)
        .order_by(time)
        .limit(literal_column(str(BATCH_SIZE)))
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    is_same = and_(*(key == old.c[key.name] for key in table.primary_key.columns))
    deleted = delete(table).where(is_same).returning(time.label("at")).cte("deleted")
    count, newest = func.count().label("count"), func.max(deleted.c.at).label("newest")
    return Query(select(count, newest).select_from(deleted))


@asynccontextmanager
async def retention_worker(
    database: Database, rules: Sequence[RetentionRule]
) -> AsyncIterator[None]:
    """Run the rules when they are due. On exit, wait for the present batch."""
    worker = RetentionWorker(database, rules)
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        with suppress(TimeoutError):
            await asyncio.wait_for(task, SHUTDOWN_SECONDS)


class RetentionWorker:
    def __init__(self, database: Database, rules: Sequence[RetentionRule]) -> None:
        self._database = database
        self._rules = rules
        self._stopped = asyncio.Event()
        self._due_at: dict[str, float] = {}
        self._sweeps: dict[str, tuple[AsyncIterator[int], int]] = {}

    async def run(self) -> None:
        while not self._stopped.is_set():
            has_more = await self.run_batches()
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_SECONDS if has_more else POLL_SECONDS):
                    await self._stopped.wait()

    def stop(self) -> None:
        self._stopped.set()

    async def run_batches(self) -> bool:
        """Run one batch of each rule that is due.

        Returns:
            Whether there may be more to delete now.
        """
        for rule in self._rules:
            if time.monotonic() >= self._due_at.get(rule.table, -math.inf):
                await self._run_batch(rule)
        return bool(self._sweeps)

    async def _run_batch(self, rule: RetentionRule) -> None:
        batches, total = self._sweeps.pop(rule.table, (None, 0))
        batches = batches or rule.batches(self._database)
        wait: float = RETRY_SECONDS
        try:
            count = await anext(batches, None)
        except RetentionError as error:
            logger.error("retention of the table %s: %s", rule.table, error)  # noqa: TRY400
            wait = rule.interval_seconds
        except PlinthError:
            logger.warning("the database is unavailable: retention continues later")
        except Exception:
            logger.exception("retention of the table %s: unexpected error", rule.table)
        else:
            if count is not None:
                metrics.retention_deleted.labels(rule.table).inc(count)
                self._sweeps[rule.table] = batches, total + count
                return
            if total:
                logger.info("retention deleted %d rows of the table %s", total, rule.table)
            wait = rule.interval_seconds
        self._due_at[rule.table] = time.monotonic() + wait
