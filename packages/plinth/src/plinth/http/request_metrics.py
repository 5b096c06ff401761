"""What is told of each request: a line in the log, and its figures."""

import logging
from functools import lru_cache
from time import perf_counter

from prometheus_client import Histogram
from starlette.types import ASGIApp, Receive, Scope, Send

from plinth.observability import metrics
from plinth.observability.logs import REQUESTS, RequestLine
from plinth.request.context import RequestInfo, current_request, name_method

logger = logging.getLogger(REQUESTS)

FAULT, CLIENT_GONE = 500, 499
PROBES = "/health"
SERIES = 4096  # more than there are of methods, routes and statuses together


class MetricsMiddleware:
    """Tells of each request once it is answered. It stands outside all that may answer."""

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
        fault = False
        try:
            await self.app(scope, receive, send)
        except Exception:
            fault = True  # what the server answers for us
            raise
        finally:
            self._in_progress -= 1
            # Until the last piece was sent; what a route left for later is not in it.
            seconds = (request.sent_at or perf_counter()) - began
            status = request.status or (FAULT if fault else CLIENT_GONE)
            _tell(request, name_method(scope), status, seconds)


def _tell(request: RequestInfo, method: str, status: int, seconds: float) -> None:
    route = request.route
    _find_histogram(method, route, status).observe(seconds)
    _log(request, method, route, status, seconds)


@lru_cache(maxsize=SERIES)
def _find_histogram(method: str, route: str, status: int) -> Histogram:
    return metrics.request_seconds.labels(method, route, str(status))


def _log(request: RequestInfo, method: str, route: str, status: int, seconds: float) -> None:
    level = logging.INFO
    if status >= FAULT:
        level = logging.WARNING
    elif PROBES in route and status < 400:  # noqa: PLR2004
        level = logging.DEBUG  # every few seconds, from everywhere
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
    if request.trace_id:
        line["trace_id"] = request.trace_id
    # Made by hand: `logger.log` would look up the stack for who calls it.
    logger.handle(logging.LogRecord(REQUESTS, level, "", 0, line, None, None))
