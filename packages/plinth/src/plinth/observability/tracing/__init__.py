"""Traces, off until a collector is named (`OTEL_EXPORTER_OTLP_ENDPOINT`).

Only OpenTelemetry's interface is imported here, which FastAPI imports anyway; what records and
sends (`otlp.py`) comes in when it is wanted. FastAPI's own `telemetry=` is switched off: it sends
the path and the query of each request, in which people's data stands.
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

FAULT = 500
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
        tracer: None while nothing is traced.
    """

    tracer: Tracer | None = None


tracing = Tracing()


class TracingMiddleware:
    """A span for each request, in the trace that its `traceparent` names (W3C Trace Context)."""

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
                _describe(span, name_method(scope), request, request.status or FAULT)


def _describe(span: Span, method: str, request: RequestInfo, status: int) -> None:
    """By OpenTelemetry's names, and with what is known at the end: the route, and who asked."""
    span.update_name(f"{method} {request.route}")
    known: dict[str, str | int | None] = {
        "http.request.method": method,
        "http.route": request.route,
        "http.response.status_code": status,
        "request.id": request.id,
        "user.id": str(request.user_id) if request.user_id else None,
        "session.id": str(request.session_id) if request.session_id else None,
        "client.address": request.client.ip,
    }
    span.set_attributes({name: value for name, value in known.items() if value is not None})
    if status >= FAULT:
        span.set_attribute("error.type", str(status))
        span.set_status(StatusCode.ERROR)


def trace_query(statement: str, seconds: float, *, failed: bool) -> None:
    """One that was just sent, as a part of the request's span; outside of one it is left out."""
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
