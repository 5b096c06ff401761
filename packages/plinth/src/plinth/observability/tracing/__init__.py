"""Traces, enabled by `OTEL_EXPORTER_OTLP_ENDPOINT`.

This module imports only OpenTelemetry's API, which FastAPI imports too; `otlp.py` with the SDK is
imported if traces are enabled. FastAPI's `telemetry=` is disabled: it records the path and query of
each request, which contain personal data.
"""

from collections.abc import Awaitable
from time import time_ns
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from plinth.request.context import RequestInfo, current_request, name_method

SERVER_ERROR = 500
FASTAPI_TELEMETRY_DISABLED: Any = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}

_propagator = TraceContextTextMapPropagator()


class Tracing:
    """
    Attributes:
        tracer: None if traces are disabled.
    """

    tracer: Tracer | None = None


tracing = Tracing()


class TracingMiddleware:
    """Create a span for each request, in the trace of its `traceparent` (W3C Trace Context)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        tracer, request = tracing.tracer, current_request()
        if tracer is None or request is None or scope["type"] != "http":
            return self.app(scope, receive, send)
        return self._trace(tracer, request, scope, receive, send)

    async def _trace(
        self, tracer: Tracer, request: RequestInfo, scope: Scope, receive: Receive, send: Send
    ) -> None:
        with tracer.start_as_current_span(
            scope["method"],
            context=_propagator.extract(dict(Headers(scope=scope)), Context()),
            kind=SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            request.trace_id = trace.format_trace_id(span.get_span_context().trace_id)
            try:
                await self.app(scope, receive, send)
            finally:
                _describe(span, name_method(scope), request, request.status or SERVER_ERROR)


def _describe(span: Span, method: str, request: RequestInfo, status: int) -> None:
    """Set the attributes that are known at the end, by OpenTelemetry's semantic conventions."""
    span.update_name(f"{method} {request.route}")
    attributes: dict[str, str | int | None] = {
        "http.request.method": method,
        "http.route": request.route,
        "http.response.status_code": status,
        "request.id": request.id,
        "user.id": str(request.user_id) if request.user_id else None,
        "session.id": str(request.session_id) if request.session_id else None,
        "api_key.id": str(request.api_key_id) if request.api_key_id else None,
        "client.address": request.client.ip,
    }
    span.set_attributes({name: value for name, value in attributes.items() if value is not None})
    if status >= SERVER_ERROR:
        span.set_attribute("error.type", str(status))
        span.set_status(StatusCode.ERROR)


def trace_query(statement: str, seconds: float, *, failed: bool) -> None:
    """Record a completed query in the span of the request. Ignore queries outside of a span."""
    if tracing.tracer is None or not trace.get_current_span().is_recording():
        return
    ended = time_ns()
    operation = statement.partition(" ")[0].upper()
    span = tracing.tracer.start_span(
        operation,
        kind=SpanKind.CLIENT,
        attributes={
            "db.system.name": "postgresql",
            "db.operation.name": operation,
            "db.query.text": statement,
        },
        start_time=ended - int(seconds * 1e9),
    )
    if failed:
        span.set_status(StatusCode.ERROR)
    span.end(ended)
