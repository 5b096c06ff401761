"""Count and time every SQL statement, for metrics, logs and traces.

A statement counts for the request in whose context it is sent. A statement shared by several
requests (`db/dataloader.py`) runs in an empty context and counts once, for the process. Of these, a
lookup by key counts for no request, and a page counts for each request that waited for it
(`record_share`).
"""

from time import perf_counter
from typing import Any

import structlog
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine

from plinth.config import settings
from plinth.db.tenancy import is_tenant_statement
from plinth.observability import metrics
from plinth.observability.tracing import trace_query, tracing
from plinth.request.context import current_request

logger = structlog.stdlib.get_logger(__name__)

MAX_STATEMENT_LENGTH = 2000  # characters


def observe_queries(engine: AsyncEngine) -> None:
    event.listen(engine.sync_engine, "before_cursor_execute", _begin)
    event.listen(engine.sync_engine, "after_cursor_execute", _succeed)
    event.listen(engine.sync_engine, "handle_error", _fail)


def _begin(
    _conn: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool
) -> None:
    context.started = perf_counter()


def _succeed(
    _conn: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool
) -> None:
    if not is_tenant_statement(statement):
        record(statement, perf_counter() - context.started, failed=False)


def _fail(failure: ExceptionContext) -> None:
    """Record failed statements too: one that timed out is the slowest of all."""
    started = getattr(failure.execution_context, "started", None)
    if started is not None and failure.statement:
        record(failure.statement, perf_counter() - started, failed=True)


def record(statement: str, seconds: float, *, failed: bool) -> None:
    """Record a statement. Call it directly for one that bypasses the engine's events."""
    request = current_request()
    (metrics.queries_of_requests if request else metrics.other_queries).observe(seconds)
    record_share(statement, seconds, failed=failed)
    if seconds * 1000 >= settings.SLOW_QUERY_MS:
        logger.warning(
            "slow query",
            route=request.route if request else None,
            duration_ms=round(seconds * 1000, 1),
            statement=shorten(statement),
        )


def record_share(statement: str, seconds: float, *, failed: bool) -> None:
    """Record a statement for the current request, which may share it with others."""
    if request := current_request():
        request.queries += 1
        request.query_seconds += seconds
    if tracing.tracer:
        trace_query(shorten(statement), seconds, failed=failed)


def shorten(statement: str) -> str:
    """Return it on one line. It contains no values, because those are sent as parameters."""
    return " ".join(statement[:MAX_STATEMENT_LENGTH].split())
