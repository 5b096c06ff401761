"""The log line and the metrics of each request."""

import logging
from functools import lru_cache
from time import perf_counter

from prometheus_client import Histogram
from starlette.types import ASGIApp, Receive, Scope, Send

from plinth.observability import metrics
from plinth.observability.logs import REQUESTS, RequestLine
from plinth.request.context import RequestInfo, current_request, name_method

logger = logging.getLogger(REQUESTS)

SERVER_ERROR, CLIENT_CLOSED = 500, 499
PROBES = "/health"
MAX_SERIES = 4096  # exceeds the combinations of methods, routes and statuses


class MetricsMiddleware:
    """Record each request after its response. It is outside of all middleware that may respond."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._in_progress = 0
        metrics.requests_in_progress.set_function(lambda: self._in_progress)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = current_request()
        if scope["type"] != "http" or request is None:
            await self.app(scope, receive, send)
            return
        began = perf_counter()
        self._in_progress += 1
        failed = False
        try:
            await self.app(scope, receive, send)
        except Exception:
            failed = True  # the server returns a 500
            raise
        finally:
            self._in_progress -= 1
            # Until the last message was sent: without background tasks.
            seconds = (request.sent_at or perf_counter()) - began
            status = request.status or (SERVER_ERROR if failed else CLIENT_CLOSED)
            _record(request, name_method(scope), status, seconds)


def _record(request: RequestInfo, method: str, status: int, seconds: float) -> None:
    route = request.route
    _find_histogram(method, route, status).observe(seconds)
    _log(request, method, route, status, seconds)


@lru_cache(maxsize=MAX_SERIES)
def _find_histogram(method: str, route: str, status: int) -> Histogram:
    return metrics.request_seconds.labels(method, route, str(status))


def _log(request: RequestInfo, method: str, route: str, status: int, seconds: float) -> None:
    level = logging.INFO
    if status >= SERVER_ERROR:
        level = logging.WARNING
    elif PROBES in route and status < 400:  # noqa: PLR2004
        level = logging.DEBUG  # every few seconds, from several probes
    if not logger.isEnabledFor(level):
        return
    line = RequestLine(
        method=method,
        route=route,
        status=status,
        duration_ms=round(seconds * 1000, 1),
        queries=request.queries,
        query_ms=round(request.query_seconds * 1000, 1),
        user_id=request.user_id,
        session_id=str(request.session_id) if request.session_id else None,
        client_ip=request.client.ip,
        request_id=request.id,
    )
    if request.acting_user_id is not None:
        line["acting_user_id"] = request.acting_user_id
    if request.api_key_id is not None:
        line["api_key_id"] = str(request.api_key_id)
    if request.trace_id:
        line["trace_id"] = request.trace_id
    # Create the record directly: `logger.log` would inspect the stack for its caller.
    logger.handle(logging.LogRecord(REQUESTS, level, "", 0, line, None, None))
