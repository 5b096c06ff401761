import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from plinth.health.readiness import close_while_draining, draining
from plinth.http.bounds.body_budget import BodyBudget
from plinth.http.bounds.overload import InFlightLimitMiddleware
from plinth.http.bounds.request_limits import BodyLimitMiddleware
from plinth.http.middleware import RequestContextMiddleware
from plinth.testing.asgi import Answer, send
from tests.support.waiting import until

LIMIT = 2


class Work:
    """An application that responds when the test allows it."""

    def __init__(self) -> None:
        self.begun = 0
        self.let = asyncio.Event()
        self.reads = False

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        self.begun += 1
        if self.reads:
            await receive()
        await self.let.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def filled(work: Work) -> AsyncIterator[InFlightLimitMiddleware]:
    app = InFlightLimitMiddleware(work, LIMIT, exempt_paths=["/live"])
    async with asyncio.TaskGroup() as group:
        for _ in range(LIMIT):
            group.create_task(send(app, "GET", "/"))
        while work.begun < LIMIT:  # noqa: ASYNC110
            await asyncio.sleep(0)
        yield app
        work.let.set()


async def test_request_beyond_the_limit_is_503_at_once() -> None:
    work = Work()
    async with filled(work) as app:
        refused = await send(app, "GET", "/")
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert b'"code": "overloaded"' in refused.body
    assert (await send(app, "GET", "/")).status == 200


async def test_exempt_path_is_served_when_full() -> None:
    work = Work()
    async with filled(work) as app:
        probe = asyncio.create_task(send(app, "GET", "/live"))
        await asyncio.sleep(0)
        work.let.set()
        assert (await probe).status == 200


async def test_prefix_limit_does_not_use_the_main_limit() -> None:
    work = Work()
    app = InFlightLimitMiddleware(work, LIMIT, prefix_limits={"/auth/": 1})
    async with asyncio.TaskGroup() as group:
        sign_in = group.create_task(send(app, "POST", "/auth/login"))
        others = [group.create_task(send(app, "GET", "/users/me")) for _ in range(LIMIT)]
        while work.begun < 1 + LIMIT:  # noqa: ASYNC110
            await asyncio.sleep(0)
        for path in ("/auth/login", "/auth/refresh", "/users/me"):
            assert (await send(app, "POST", path)).status == 503
        work.let.set()
    assert [task.result().status for task in (sign_in, *others)] == [200] * (1 + LIMIT)
    assert (await send(app, "POST", "/auth/login")).status == 200


async def test_slow_upload_does_not_use_the_limit() -> None:
    work = Work()
    work.reads = True
    app = InFlightLimitMiddleware(work, 1)

    async def receive_never() -> Message:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def ignore(_: Message) -> None: ...

    slow = asyncio.create_task(app({"type": "http", "path": "/"}, receive_never, ignore))
    while not work.begun:  # noqa: ASYNC110
        await asyncio.sleep(0)
    work.let.set()
    assert (await send(app, "POST", "/", body=b"whole")).status == 200
    slow.cancel()


async def test_slow_upload_counts_once_its_body_is_complete() -> None:
    work, sent = Work(), asyncio.Event()
    work.reads = True
    app = InFlightLimitMiddleware(work, LIMIT)

    async def receive_late() -> Message:
        await sent.wait()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def ignore(_: Message) -> None: ...

    scope = {"type": "http", "path": "/"}
    tasks = [asyncio.create_task(app(scope, receive_late, ignore)) for _ in range(LIMIT + 3)]
    while work.begun < LIMIT + 3:  # noqa: ASYNC110
        await asyncio.sleep(0)
    sent.set()
    await until(lambda: sum(task.done() for task in tasks) == 3)
    refused = [task for task in tasks if task.done()]
    work.let.set()
    await asyncio.wait(tasks)
    raised = [task.exception() for task in refused]
    assert [getattr(it, "status_code", None) for it in raised] == [503] * 3
    assert (await send(app, "POST", "/", body=b"whole")).status == 200, "all places are free again"


@pytest.mark.parametrize("ending", [False, True])
async def test_connections_are_closed_while_draining(ending: bool) -> None:
    work = Work()
    work.let.set()
    app = RequestContextMiddleware(work, trusted_proxies=[], adding=[close_while_draining])
    if ending:
        draining.start()
    try:
        answer: Answer = await send(app, "GET", "/")
    finally:
        draining.reset()
    assert answer.headers.get("connection") == ("close" if ending else None)


async def test_prefix_limits_and_exempt_paths_respect_root_path() -> None:
    work = Work()
    work.let.set()
    app = InFlightLimitMiddleware(work, 0, exempt_paths=["/live"], prefix_limits={"/auth/": 1})
    statuses = {}
    for path in ("/live", "/auth/login", "/users/me"):
        answer: list[Message] = []

        async def keep(message: Message, answer: list[Message] = answer) -> None:
            answer.append(message)

        scope = {"type": "http", "path": f"/under{path}", "root_path": "/under"}
        await app(scope, receive_nothing, keep)
        statuses[path] = answer[0]["status"]
    assert statuses == {"/live": 200, "/auth/login": 200, "/users/me": 503}


async def receive_nothing() -> Message:
    return {"type": "http.disconnect"}


@pytest.mark.parametrize("version", ["1.1", "2"])
async def test_unannounced_body_counts_only_in_http_2(version: str) -> None:
    """HTTP/1.1 has no body then; HTTP/2 may have one without such headers."""
    incoming = [{"type": "http.request", "body": b"x" * 11, "more_body": False}]
    read: list[Message] = []

    async def receive() -> Message:
        return incoming.pop()

    async def work(_: Scope, receive: Receive, __: Send) -> None:
        read.append(await receive())

    app = BodyLimitMiddleware(work, limit=10, seconds=5, budget=BodyBudget(10**6))
    scope = {"type": "http", "http_version": version, "path": "/", "headers": [(b"host", b"x")]}
    if version == "2":
        with pytest.raises(HTTPException, match="larger than 10 bytes"):
            await app(scope, receive, keep_nothing)
        assert not read
    else:
        await app(scope, receive, keep_nothing)
        assert read


async def keep_nothing(_: Message) -> None:
    pass
