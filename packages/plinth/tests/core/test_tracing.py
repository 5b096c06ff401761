"""Traces that a collector receives."""

from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import text

from plinth.config import settings
from plinth.db.database import Database
from plinth.observability.tracing import otlp
from plinth.observability.tracing.otlp import sending_traces
from plinth.testing.asgi import send
from plinth.testing.people import People
from tests.support.collector import Collector, SeenSpan, collecting
from tests.support.command import find_free_port
from tests.support.environment import COMPLETE, run_python
from tests.support.logs import logging_to_memory

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


def only_request(collector: Collector) -> SeenSpan:
    (span,) = (span for span in collector.spans if "http.route" in span.attributes)
    return span


async def test_request_span_has_query_spans_as_children(
    client: AsyncClient, people: People
) -> None:
    person = await people.enter()
    asked = {"X-Request-ID": "night-3", "traceparent": TRACEPARENT} | person.headers
    with collecting() as collector, logging_to_memory() as log:
        async with sending_traces(collector.url):
            await client.get("/users/search?q=findthis", headers=asked)
        (line,) = log.requests

    request = only_request(collector)
    assert collector.paths == {"/v1/traces"}
    assert request.name == "GET /api/v1/users/search"
    assert (request.trace_id, request.parent_id, request.kind) == (TRACE, PARENT, 2)
    assert request.attributes == {
        "http.request.method": "GET",
        "http.route": "/api/v1/users/search",
        "http.response.status_code": 200,
        "request.id": "night-3",
        "user.id": str(person.id),
        "session.id": line["session_id"],
        "client.address": "127.0.0.1",
    }
    assert line["trace_id"] == TRACE
    (query,) = (span for span in collector.spans if span is not request)
    assert (query.name, query.trace_id, query.parent_id) == ("SELECT", TRACE, request.span_id)
    assert query.attributes["db.query.text"].startswith("SELECT users.id")
    assert 0 < query.nanoseconds < request.nanoseconds
    assert request.resource["service.name"] == settings.PROJECT_NAME
    assert request.resource["deployment.environment.name"] == settings.ENVIRONMENT
    assert b"findthis" not in collector.raw
    assert person.tokens["access_token"].encode() not in collector.raw


async def test_server_error_marks_the_span_as_an_error(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(app.state, "resources")
    with collecting() as collector:
        async with sending_traces(collector.url):
            await send(app, "GET", "/api/v1/health/db")

    request = only_request(collector)
    assert request.is_error
    assert request.attributes["http.response.status_code"] == 500
    assert request.attributes["error.type"] == "500"


@pytest.mark.parametrize("traceparent", [b"", b"00-0-0-00", b"x" * 5000, b"\r\n\x1b[31m", b"\xff"])
async def test_malformed_traceparent_starts_a_new_trace(app: FastAPI, traceparent: bytes) -> None:
    with collecting() as collector:
        async with sending_traces(collector.url):
            answer = await send(app, "BREW-1", "/nowhere/1", [(b"traceparent", traceparent)])

    request = only_request(collector)
    assert answer.status == 404
    assert (request.name, request.parent_id) == ("OTHER unmatched", "")
    assert not request.is_error


async def test_query_outside_a_request_is_not_traced(database: Database) -> None:
    with collecting() as collector:
        async with sending_traces(collector.url), database.read_connection() as connection:
            await connection.execute(text("SELECT 1"))

    assert collector.spans == []


async def test_unreachable_collector_does_not_delay_requests(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "SHUTDOWN_SECONDS", 0.2)
    async with sending_traces(f"http://127.0.0.1:{find_free_port()}"):
        assert (await client.get("/health")).status_code == 200


def test_disabled_tracing_imports_and_sends_nothing(tmp_path: Path) -> None:
    code = """
import sys
import app.main
# redis-py imports the metrics of the SDK if they are installed.
heavy = ("opentelemetry.sdk.trace.export", "opentelemetry.exporter", "google.protobuf", "requests")
print([name for name in sys.modules if name.startswith(heavy)])
print(app.main.app._native_telemetry.enabled())
"""
    made = run_python(code, cwd=tmp_path, **COMPLETE, FASTAPI_OTEL_AUTO_CONFIGURE="true")

    assert made.stdout.splitlines() == ["[]", "False"], made.stderr
