"""Request heads over a limit, independent of the server."""

import asyncio
import json

import pytest
from fastapi import FastAPI

from plinth.config import settings
from plinth.http import problems
from plinth.http.bounds.overload import Pace
from plinth.http.bounds.request_limits import (
    CHEAP_PARTS,
    MAX_BYTES_OF,
    MAX_COOKIES,
    MAX_QUERY_BYTES,
    MAX_QUERY_PAIRS,
)
from plinth.request.headers import MAX_HEADER_FIELDS, MAX_PATH_BYTES
from plinth.testing.asgi import Header, send

PATH = f"{settings.API_V1_PREFIX}/health/live"


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x", b"y")] * (MAX_HEADER_FIELDS + 1),
        [(b"x", b"y" * settings.MAX_HEADER_SIZE)],
        [(name, b"y" * 16_384) for name in (b"a", b"b")],
        [(b"cookie", b"y" * (MAX_BYTES_OF[b"cookie"] + 1))],
        [(b"cookie", b"y" * 5000), (b"accept", b"*/*"), (b"cookie", b"y" * 5000)],
        [(b"cookie", b"a=1;" * MAX_COOKIES)],
        [(b"content-type", b"y" * (MAX_BYTES_OF[b"content-type"] + 1))],
        [(b"if-match", b'"1",' * 300)],
        [(b"if-none-match", b'"1",' * 300)],
        [(b"range", b"bytes=" + b"0-1," * 100)],
    ],
    ids=[
        "fields",
        "one value",
        "all values",
        "cookie",
        "two cookies",
        "many cookies",
        "content type",
        "if-match",
        "if-none-match",
        "range",
    ],
)
async def test_headers_over_a_limit_are_431(app: FastAPI, headers: list[Header]) -> None:
    answer = await send(app, "GET", PATH, headers)
    assert answer.status == 431
    assert json.loads(answer.body)["code"] == "headers_too_large"


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x", b"y")] * MAX_HEADER_FIELDS,
        [(b"cookie", b"y" * MAX_BYTES_OF[b"cookie"]), (b"authorization", b"y" * 16_000)],
        [(b"cookie", b"a=1;" * (MAX_COOKIES - 1))],
        [(b"if-none-match", b'"1",' * 250)],
    ],
)
async def test_headers_at_the_limit_are_accepted(app: FastAPI, headers: list[Header]) -> None:
    assert (await send(app, "GET", PATH, headers)).status == 200


async def test_long_query_counts_as_header_size(app: FastAPI) -> None:
    query = "a=1&" * (settings.MAX_HEADER_SIZE // 4)
    assert (await send(app, "GET", f"{PATH}?{query}")).status == 431


@pytest.mark.parametrize(
    "target",
    [
        "/" + "a" * MAX_PATH_BYTES,
        "/" + "%41" * (MAX_PATH_BYTES // 3 + 1),
        f"{PATH}?" + "a" * (MAX_QUERY_BYTES + 1),
        f"{PATH}?" + "&" * MAX_QUERY_PAIRS,
    ],
    ids=["path", "escapes in the path", "query", "pairs"],
)
async def test_target_over_a_limit_is_414(app: FastAPI, target: str) -> None:
    answer = await send(app, "GET", target)
    assert answer.status == 414
    assert json.loads(answer.body)["code"] == "uri_too_long"


@pytest.mark.parametrize("query", ["a" * MAX_QUERY_BYTES, "&" * (MAX_QUERY_PAIRS - 1)])
async def test_target_at_the_limit_is_accepted(app: FastAPI, query: str) -> None:
    assert (await send(app, "GET", f"{PATH}?{query}")).status == 200
    path = "/" + "a" * (MAX_PATH_BYTES - 1)
    assert (await send(app, "GET", path)).status == 404


COSTLY: list[tuple[str, list[Header]]] = [
    ("/" + "%41" * (CHEAP_PARTS + 1), []),
    (f"{PATH}?q=" + "%41" * (CHEAP_PARTS + 1), []),
    (f"{PATH}?" + "a&" * (CHEAP_PARTS + 1), []),
    (PATH, [(b"cookie", b"a;" * 60), (b"cookie", b"\\" * 60)]),
]


@pytest.mark.parametrize(("target", "headers"), COSTLY, ids=["path", "query", "pairs", "cookies"])
async def test_costly_request_head_waits_for_its_turn(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, target: str, headers: list[Header]
) -> None:
    turns = []

    async def note(_: Pace) -> None:
        turns.append(1)

    monkeypatch.setattr(Pace, "wait_turn", note)
    await send(app, "GET", f"{PATH}?q=" + "%41" * CHEAP_PARTS, [(b"cookie", b"a;" * CHEAP_PARTS)])
    assert turns == []
    await send(app, "GET", target, headers)
    assert turns == [1]


@pytest.mark.parametrize("target", [f"{PATH}?" + "a" * (MAX_QUERY_BYTES + 1), PATH])
async def test_refusal_is_delayed(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setattr(problems, "REFUSAL_SECONDS", 60)
    headers = [(b"x", b"y")] * (MAX_HEADER_FIELDS + 1) if target == PATH else []
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(send(app, "GET", target, headers), 0.2)
