"""The log: one line per request, one pipeline, and no input of clients."""

import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
import structlog
from fastapi import FastAPI
from httpx2 import AsyncClient
from pydantic import BaseModel, ValidationError
from sqlalchemy import text

from plinth import mail
from plinth.config import settings
from plinth.db.database import Database
from plinth.mail import render_message
from plinth.observability import redaction
from plinth.observability.logs import make_config, make_formatter
from plinth.testing.asgi import send
from plinth.testing.operations import find_operations
from plinth.testing.people import PASSWORD, People
from tests.support.environment import COMPLETE, run_python
from tests.support.logs import Log, logging_to_memory
from tests.support.mail_server import Inbox, token_of

LINE_FIELDS = {
    *("timestamp", "level", "logger", "event", "method", "route", "status", "duration_ms"),
    *("queries", "query_ms", "user_id", "session_id", "client_ip", "request_id"),
}
BREAKS = b"a\r\nb\nc\x1b[31m{}%0a"


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


async def test_no_secret_is_logged(
    client: AsyncClient, people: People, second: asyncpg.Connection, inbox: Inbox
) -> None:
    with logging_to_memory(level="DEBUG") as log, pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "SLOW_QUERY_MS", 0)
        secrets = {PASSWORD, "Another-Horse-8", "Wrong-Horse-9", "Third-Horse-99"}
        account = {"email": "journey@example.com", "username": "journey", "password": PASSWORD}
        await client.post("/auth/register", json=account)
        verify = token_of(await inbox.next(account["email"], "Confirm"))
        await client.post("/auth/email/verify", json={"token": verify})
        await client.post("/auth/login", json=account | {"password": "Wrong-Horse-9"})
        await client.post("/auth/register", json=account | {"password": [PASSWORD]})
        tokens = (await client.post("/auth/login", json=account)).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        changes = {"password": "Another-Horse-8", "current_password": PASSWORD}
        changed = await client.patch("/users/me", json=changes, headers=headers)
        refreshed = await client.post(
            "/auth/refresh", json={"refresh_token": tokens["refresh_token"]}
        )
        await client.post("/auth/password/forgot", json={"email": account["email"]})
        reset = token_of(await inbox.next(account["email"], "new password"))
        renewed = {"token": reset, "password": "Third-Horse-99"}
        done = await client.post("/auth/password/reset", json=renewed)
        hashes = [row[0] for row in await second.fetch("SELECT hashed_password FROM users")]
    assert (changed.status_code, refreshed.status_code, done.status_code) == (200, 200, 204)
    secrets |= {verify, reset, *hashes, settings.SECRET_KEY}
    for given in (tokens, refreshed.json()):
        secrets |= {given["access_token"], given["refresh_token"]}
    assert len(log.requests) >= 8
    assert len(log.lines) > len(log.requests)  # the slow queries
    assert [secret for secret in secrets if secret in log.text] == []
    assert "argon2" not in log.text


HEADERS = (
    *("x-request-id", "user-agent", "x-forwarded-for", "authorization", "cookie", "host", "origin"),
    *("content-type", "content-length", "accept", "accept-encoding", "referer", "traceparent"),
)


async def test_line_breaks_of_clients_are_escaped(app: FastAPI) -> None:
    headers = [(name.encode(), BREAKS) for name in HEADERS if name != "content-length"]
    for pretty in (False, True):
        with logging_to_memory(pretty=pretty, level="DEBUG") as log:
            for operation in find_operations():
                path = re.sub(r"\{\w+\}", "%0d%0a%1b%5b31mforged", operation.path)
                await send(app, operation.method, f"{path}?q=%0aforged%1b", headers)
            await send(app, "GET", "/%0d%0aforged%1b%5b31m", headers)
            lines = log.text.splitlines()
        assert len(lines) >= len(find_operations()) + 1
        start = r"\{\"" if not pretty else r"\d\d:\d\d:\d\d \["
        assert [line for line in lines if not re.match(start, line)] == []
        assert "forged" not in log.text
        assert "\x1b" not in log.text


class Given(BaseModel):
    code: int


def make_validation_error(text: str) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Given.model_validate({"code": text})
    return caught.value


@pytest.mark.parametrize("pretty", [False, True])
def test_quoted_secrets_in_errors_are_redacted_and_escaped(pretty: bool) -> None:
    logger = structlog.stdlib.get_logger("app.test")
    hidden = [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "$argon2id$v=19$m=8,t=1,p=1$AAAA$BBBB",
        "$2b$12$abcdefghijklmnopqrstuv",
        "Zk3" * 20,
        "hunter2hunter2",
    ]
    with logging_to_memory(pretty=pretty) as log:
        for text in hidden[:4]:
            logging.getLogger("elsewhere").warning("cannot take %s", text)
        logger.warning("no", password="hunter2hunter2", url="redis://me:hunter2hunter2@host/0")
        logger.warning('sent {"password": "hunter2hunter2"} with Bearer hunter2hunter2')
        try:
            raise make_validation_error(hidden[4])
        except ValidationError:
            logger.exception("bad\x1b[31m\r\n00:00:00 [info] forged")

    assert [text for text in hidden if text in log.text] == []
    assert "redis://[hidden]@host/0" in log.text
    assert "\x1b" not in log.text
    assert not any(line.startswith("00:00:00") for line in log.text.splitlines())


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


@pytest.mark.parametrize("beginning", ["eyJ", "-eyJ", "eyJ.", "input_value=", "$argon2$", "://a:"])
def test_redaction_time_is_linear(beginning: str) -> None:
    """The time must be linear in the length; a scan from each beginning would take an hour."""
    many = beginning * (2**20 // len(beginning))
    assert redaction.redact(None, "", {"event": many})["event"]
