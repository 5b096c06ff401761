"""What goes to the database, counted where every statement passes: ORM, Core and plain SQL alike.

A statement belongs to the request in whose context it is sent. What requests share runs in nobody's
context (`db/dataloader.py`), and so is in the process's figures once: a look-up by key there alone,
a page with each request that waited for it as well.
"""

from time import perf_counter
from typing import Any

import structlog
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine

from plinth.config import settings
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
    context.began = perf_counter()


def _succeed(
    _conn: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool
) -> None:
    record(statement, perf_counter() - context.began, failed=False)


def _fail(failure: ExceptionContext) -> None:
    """One that ran into its timeout was the slowest of all."""
    began = getattr(failure.execution_context, "began", None)
    if began is not None and failure.statement:
        record(failure.statement, perf_counter() - began, failed=True)


def record(statement: str, seconds: float, *, failed: bool) -> None:
    """One that did not go by the engine's events is told here."""
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
    """What this request waited for, and others perhaps as well."""
    if request := current_request():
        request.queries += 1
        request.query_seconds += seconds
    if tracing.tracer:
        trace_query(shorten(statement), seconds, failed=failed)


def shorten(statement: str) -> str:
    """On one line. The values are not in it: they go to the server beside it."""
    return " ".join(statement[:MAX_STATEMENT_LENGTH].split())
