"""The log: one line per request, and one pipeline for all loggers."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import text

from plinth import mail
from plinth.config import settings
from plinth.db.database import Database
from plinth.mail import render_message
from plinth.observability.logs import make_config, make_formatter
from plinth.testing.asgi import send
from plinth.testing.people import People
from tests.support.environment import COMPLETE, run_python
from tests.support.logs import Log, logging_to_memory

LINE_FIELDS = {
    *("timestamp", "level", "logger", "event", "method", "route", "status", "duration_ms"),
    *("queries", "query_ms", "user_id", "session_id", "client_ip", "request_id"),
}


@pytest.fixture
def log() -> Iterator[Log]:
    with logging_to_memory() as log:
        yield log


async def test_request_logs_one_line(
    client: AsyncClient, people: People, second: asyncpg.Connection, log: Log
) -> None:
    person = await people.enter()
    log.clear()
    await client.get("/users/search?q=private", headers=person.headers | {"X-Request-ID": "r-1"})

    (line,) = log.lines
    assert set(line) == LINE_FIELDS
    assert line["event"] == "request"
    assert (line["method"], line["route"]) == ("GET", "/api/v1/users/search")
    assert (line["status"], line["level"], line["request_id"]) == (200, "info", "r-1")
    assert line["user_id"] == person.id
    assert UUID(line["session_id"]) == await second.fetchval("SELECT id FROM sessions")
    assert 0 < line["query_ms"] <= line["duration_ms"]
    assert "private" not in log.text


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/users/me", "/api/v1/users/me", 401),
        ("GET", "/users/me/", "/api/v1/users/me", 401),
        ("HEAD", "/users", "/api/v1/users/", 401),
        ("PUT", "/users/7", "/api/v1/users/{user_id}", 405),
        ("GET", "/nowhere/secret-thing", "unmatched", 404),
        ("GET", "/users/not-a-number", "/api/v1/users/{user_id}", 401),
    ],
)
async def test_line_has_the_route_and_not_the_path(
    client: AsyncClient, log: Log, method: str, path: str, route: str, status: int
) -> None:
    await client.request(method, path)

    (line,) = log.requests
    assert (line["method"], line["route"], line["status"]) == (method, route, status)


async def test_unknown_method_is_logged_as_other(app: FastAPI, log: Log) -> None:
    await send(app, "BREW-7f3", "/")

    assert log.requests[0]["method"] == "OTHER"


async def test_successful_health_checks_are_not_logged(client: AsyncClient, log: Log) -> None:
    for path in ("/health", "/health/live", "/health/full"):
        await client.get(path)

    assert log.requests == []
    with logging_to_memory(level="DEBUG") as all_of_it:
        await client.get("/health/live")
    assert [line["route"] for line in all_of_it.requests] == ["/api/v1/health/live"]


async def test_queries_count_for_the_request_that_sent_them(
    client: AsyncClient, people: People, log: Log
) -> None:
    person = await people.enter(is_superuser=True)
    log.clear()
    await client.get("/users/me", headers=person.headers)  # the shared look-up
    await client.get(f"/users/{person.id}", headers=person.headers)  # and another
    await client.get("/users/search?q=abc", headers=person.headers)
    await client.get("/users/me/events", headers=person.headers)  # of the ORM
    await client.get("/users/", headers=person.headers)  # the rows and the total

    assert [line["queries"] for line in log.requests] == [0, 0, 1, 1, 2]


async def test_a_slow_query_is_logged_with_its_route_and_without_its_values(
    client: AsyncClient, people: People, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await people.enter()
    log.clear()
    monkeypatch.setattr(settings, "SLOW_QUERY_MS", 0)
    await client.get("/users/search", params={"q": "findthis"}, headers=person.headers)

    slow = [line for line in log.lines if line["event"] == "slow query"]
    assert [line["route"] for line in slow] == [None, "/api/v1/users/search"]
    assert slow[1]["statement"].startswith("SELECT users.id")
    assert slow[1]["level"] == "warning"
    assert slow[1]["request_id"] == log.requests[-1]["request_id"]
    assert "findthis" not in log.text


async def test_failed_slow_query_is_logged(
    database: Database, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "SLOW_QUERY_MS", 20)
    async with database.read_connection() as connection:
        await connection.execute(text("SET statement_timeout = 30"))
        with pytest.raises(Exception, match="statement timeout"):
            await connection.execute(text("SELECT pg_sleep(5)"))
        await connection.execute(text("RESET statement_timeout"))

    slow = [line["statement"] for line in log.lines]
    assert "SELECT pg_sleep(5)" in slow  # on a busy machine other queries may be slow as well


async def test_an_unexpected_error_is_logged_with_its_request(
    app: FastAPI, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(app.state, "resources")
    answer = await send(app, "GET", "/api/v1/health/db")

    traceback, line = log.lines
    assert answer.status == line["status"] == 500
    assert (traceback["level"], line["level"]) == ("error", "warning")
    assert traceback["event"] == "unexpected error at /api/v1/health/db"
    assert "AttributeError" in traceback["exception"]
    assert traceback["request_id"] == line["request_id"] == answer.headers["x-request-id"]


async def test_development_logs_the_link_of_an_unsent_mail(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "DATA_DIR", tmp_path)
    token = "Zk3" * 15
    letter = render_message(
        "email_verify",
        number=uuid4(),
        written=datetime.now(UTC),
        recipient="ann@example.com",
        context={"username": "ann", "page": "verify-email", "token": token, "expires_at": 0},
    )
    await mail.send(letter, seconds=10)

    (said,) = (line["event"] for line in log.lines)
    (file,) = (tmp_path / "mail").iterdir()
    assert letter.link
    assert said == f"mail to ann@example.com is in {file}: {letter.link}"
    assert token in said


def test_all_loggers_use_the_pipeline(tmp_path: Path) -> None:
    code = """
import logging
from plinth.observability import logs
logs.set_up()
for name in ("uvicorn.error", "uvicorn.access", "sqlalchemy.engine", "app.x", "asyncio", "other"):
    logging.getLogger(name).info("%s says", name)
    logging.getLogger(name).debug("%s whispers", name)
"""
    made = run_python(code, cwd=tmp_path, **COMPLETE, LOG_LEVEL="DEBUG")

    said = [json.loads(line)["event"] for line in made.stderr.splitlines()]
    assert said == [
        *("uvicorn.error says", "uvicorn.error whispers", "app.x says", "app.x whispers"),
        *("asyncio says", "other says"),
    ]
    assert made.stdout == ""


def test_log_format_is_pretty_in_development_and_json_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert make_config()["formatters"]["line"] == {"()": "plinth.observability.logs.make_formatter"}
    record = logging.LogRecord("app.x", logging.INFO, "", 0, "hello", None, None)

    assert make_formatter().format(record).endswith("hello                          [app.x]")
    monkeypatch.setattr(settings, "ENVIRONMENT", "staging")
    assert json.loads(make_formatter().format(record))["event"] == "hello"
    monkeypatch.setattr(settings, "LOG_FORMAT", "pretty")
    assert "hello" in make_formatter().format(record)
