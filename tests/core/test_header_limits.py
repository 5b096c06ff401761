"""Heads over a limit, as any server may hand them on."""

import json

import pytest
from fastapi import FastAPI

from app.core.config import settings
from app.core.header_limits import MAX_BYTES_OF
from app.core.headers import MAX_HEADER_FIELDS
from tests.support.asgi import Header, send

PATH = f"{settings.API_V1_PREFIX}/health/live"


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x", b"y")] * (MAX_HEADER_FIELDS + 1),
        [(b"x", b"y" * settings.MAX_HEADER_SIZE)],
        [(name, b"y" * 16_384) for name in (b"a", b"b")],
        [(b"cookie", b"y" * (MAX_BYTES_OF[b"cookie"] + 1))],
        [(b"cookie", b"y" * 5000), (b"accept", b"*/*"), (b"cookie", b"y" * 5000)],
        [(b"content-type", b"y" * (MAX_BYTES_OF[b"content-type"] + 1))],
    ],
    ids=["fields", "one value", "all values", "cookie", "two cookies", "content type"],
)
async def test_refused(app: FastAPI, headers: list[Header]) -> None:
    answer = await send(app, "GET", PATH, headers)
    assert answer.status == 431
    assert json.loads(answer.body)["code"] == "headers_too_large"


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x", b"y")] * MAX_HEADER_FIELDS,
        [(b"cookie", b"y" * MAX_BYTES_OF[b"cookie"]), (b"authorization", b"y" * 16_000)],
    ],
)
async def test_served(app: FastAPI, headers: list[Header]) -> None:
    assert (await send(app, "GET", PATH, headers)).status == 200


async def test_a_long_query_counts(app: FastAPI) -> None:
    query = "a=1&" * (settings.MAX_HEADER_SIZE // 4)
    assert (await send(app, "GET", f"{PATH}?{query}")).status == 431
