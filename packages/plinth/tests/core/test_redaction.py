"""The log contains no secrets, and clients cannot add lines or control characters to it."""

import logging
import re

import asyncpg
import pytest
import structlog
from fastapi import FastAPI
from httpx2 import AsyncClient
from pydantic import BaseModel, ValidationError

from plinth.config import settings
from plinth.observability import redaction
from plinth.testing.asgi import send
from plinth.testing.operations import find_operations
from plinth.testing.people import PASSWORD, People
from tests.support.logs import logging_to_memory
from tests.support.mail_server import Inbox, token_of

BREAKS = b"a\r\nb\nc\x1b[31m{}%0a"
HEADERS = (
    *("x-request-id", "user-agent", "x-forwarded-for", "authorization", "cookie", "host", "origin"),
    *("content-type", "content-length", "accept", "accept-encoding", "referer", "traceparent"),
)


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
        "plk_live_0a",
        "plk_test_" + "a" * 22,
        "Zk3" * 20,
        "hunter2hunter2",
    ]
    with logging_to_memory(pretty=pretty) as log:
        for text in hidden[:-1]:
            logging.getLogger("elsewhere").warning("cannot take %s", text)
        logger.warning("no", password="hunter2hunter2", url="redis://me:hunter2hunter2@host/0")
        logger.warning('sent {"password": "hunter2hunter2"} with Bearer hunter2hunter2')
        try:
            raise make_validation_error(hidden[-1])
        except ValidationError:
            logger.exception("bad\x1b[31m\r\n00:00:00 [info] forged")

    assert [text for text in hidden if text in log.text] == []
    assert "redis://[hidden]@host/0" in log.text
    assert "\x1b" not in log.text
    assert not any(line.startswith("00:00:00") for line in log.text.splitlines())


@pytest.mark.parametrize(
    "beginning", ["eyJ", "-eyJ", "eyJ.", "input_value=", "$argon2$", "://a:", "plk_live_"]
)
def test_redaction_time_is_linear(beginning: str) -> None:
    """The time must be linear in the length; a scan from each beginning would take an hour."""
    many = beginning * (2**20 // len(beginning))
    assert redaction.redact(None, "", {"event": many})["event"]
