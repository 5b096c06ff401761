"""The memory budget for bodies: large ones are refused, small ones are accepted."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from plinth.http import problems
from plinth.http.bounds import body_budget, overload, request_limits
from plinth.http.bounds.body_budget import BASE_BYTES, BodyBudget
from plinth.http.bounds.overload import Pace
from plinth.http.bounds.request_limits import BodyLimitMiddleware
from tests.support.waiting import until

MIB = 1024 * 1024
LIMIT = 4 * (MIB + BASE_BYTES)
STARTED: list[asyncio.Task[None]] = []


class Upload:
    """A request whose body arrives when the test sends it."""

    def __init__(
        self,
        declared: int | None = None,
        path: str = "/",
        kind: str = "text/plain",
        byte: bytes = b"x",
    ) -> None:
        headers = [(b"content-type", kind.encode())]
        self.byte = byte
        if declared is None:
            headers.append((b"transfer-encoding", b"chunked"))
        else:
            headers.append((b"content-length", b"%d" % declared))
        self.scope: Scope = {
            "type": "http",
            "http_version": "1.1",
            "path": path,
            "headers": headers,
        }
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        self.statuses: list[int] = []
        self.task: asyncio.Task[None] | None = None
        self.finished = asyncio.Event()

    def start(self, limit: Callable[..., Any]) -> "Upload":
        self.task = asyncio.create_task(limit(self.scope, self.incoming.get, self.send))
        STARTED.append(self.task)
        return self

    def piece(self, size: int, *, more: bool = True) -> None:
        self.incoming.put_nowait(
            {"type": "http.request", "body": self.byte * size, "more_body": more}
        )

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.statuses.append(message["status"])

    async def status(self) -> int | None:
        """Return the response, or None while the request waits."""
        for _ in range(5):
            await asyncio.sleep(0)
        return self.statuses[0] if self.statuses else None


@pytest.fixture(autouse=True)
async def _ended() -> AsyncIterator[None]:
    """Cancel pending tasks; otherwise they would fail a later test of the same process."""
    yield
    for task in STARTED:
        task.cancel()
    await asyncio.gather(*STARTED, return_exceptions=True)
    STARTED.clear()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (request_limits, problems):
        monkeypatch.setattr(module, "REFUSAL_SECONDS", 0)


@pytest.fixture
def budget() -> BodyBudget:
    return BodyBudget(LIMIT)


@pytest.fixture
def limit(budget: BodyBudget) -> BodyLimitMiddleware:
    async def work(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            while (await receive()).get("more_body"):
                pass
            await receive()  # the work, until the test ends it
            status = 200
        except HTTPException as refusal:
            status = refusal.status_code
        await send({"type": "http.response.start", "status": status})

    return BodyLimitMiddleware(work, limit=MIB, seconds=60, budget=budget, limits={"/auth/": 100})


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
async def test_largest_upload_is_evicted_for_a_small_one(
    limit: BodyLimitMiddleware, budget: BodyBudget, declared: bool
) -> None:
    large = [Upload(MIB if declared else None).start(limit) for _ in range(4)]
    for upload in large:
        upload.piece(MIB - 1)
    assert [await upload.status() for upload in large] == [None] * 4
    small = Upload(10).start(limit)
    small.piece(10, more=False)
    assert await small.status() is None
    statuses = [await upload.status() for upload in large]
    assert sorted(statuses, key=str) == [503, None, None, None]
    assert budget.held <= LIMIT


async def test_upload_of_the_same_size_is_refused_until_the_oldest_expires(
    limit: BodyLimitMiddleware, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = [Upload(MIB).start(limit) for _ in range(4)]
    assert [await upload.status() for upload in large] == [None] * 4
    assert await Upload(MIB).start(limit).status() == 503
    monkeypatch.setattr(body_budget, "SETTLED_SECONDS", 0)
    await asyncio.sleep(0.01)
    assert await Upload(MIB).start(limit).status() is None
    assert await large[0].status() == 503, "the oldest"


async def test_complete_body_keeps_its_budget_until_the_response(
    limit: BodyLimitMiddleware, budget: BodyBudget
) -> None:
    large = [Upload(MIB).start(limit) for _ in range(4)]
    for upload in large:
        upload.piece(MIB, more=False)
    assert [await upload.status() for upload in large] == [None] * 4
    assert await Upload(10).start(limit).status() == 503
    large[0].piece(0, more=False)
    assert await large[0].status() == 200
    assert await Upload(10).start(limit).status() is None
    assert 0 < budget.held <= LIMIT


async def test_budget_is_released_after_each_request(
    limit: BodyLimitMiddleware, budget: BodyBudget
) -> None:
    uploads = [Upload(1000).start(limit) for _ in range(20)]
    await uploads[0].status()
    assert budget.held == 20 * (1000 + BASE_BYTES)
    for upload in uploads[:10]:
        assert upload.task
        upload.task.cancel()
    for upload in uploads[10:]:
        upload.piece(MIB + 1)
    await until(lambda: budget.held == 0)
    assert await uploads[10].status() == 413


async def test_slow_upload_is_408(limit: BodyLimitMiddleware) -> None:
    limit.seconds = 0.02
    uploads = [Upload(10).start(limit), Upload(None).start(limit)]
    uploads[1].piece(1)
    await until(lambda: all(upload.statuses for upload in uploads))
    assert [upload.statuses for upload in uploads] == [[408], [408]]


async def test_content_length_with_many_digits_is_413(limit: BodyLimitMiddleware) -> None:
    upload = Upload(10)
    upload.scope["headers"][1] = (b"content-length", b"9" * 5000)
    assert await upload.start(limit).status() == 413


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
async def test_large_body_waits_for_its_turn_to_be_parsed(
    limit: BodyLimitMiddleware, monkeypatch: pytest.MonkeyPatch, declared: bool
) -> None:
    turns = []

    async def note(_: Pace) -> None:
        turns.append(1)

    monkeypatch.setattr(Pace, "wait_turn", note)
    monkeypatch.setattr(overload, "FREE_BYTES", {"text/plain": 900})
    upload = Upload(1000 if declared else None).start(limit)
    upload.piece(600)
    await upload.status()
    assert turns == []
    upload.piece(400, more=False)
    await upload.status()
    assert turns == [1]
    small = Upload(900).start(limit)
    small.piece(900, more=False)
    await small.status()
    assert turns == [1]


async def test_refusal_is_delayed(
    limit: BodyLimitMiddleware, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (request_limits, problems):
        monkeypatch.setattr(module, "REFUSAL_SECONDS", 60)
    declared = Upload(MIB + 1).start(limit)
    assert await declared.status() is None
    form = Upload(21, "/auth/login", "application/x-www-form-urlencoded", b"&").start(limit)
    form.piece(21, more=False)
    assert await form.status() is None


async def test_auth_paths_have_a_smaller_body_limit(limit: BodyLimitMiddleware) -> None:
    assert await Upload(101, "/auth/login").start(limit).status() == 413
    assert await Upload(101, "/users").start(limit).status() is None
    chunked = Upload(None, "/auth/login").start(limit)
    chunked.piece(101)
    assert await chunked.status() == 413
