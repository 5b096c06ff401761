"""A load on the server that records acknowledged, refused and unanswered requests."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import asyncpg
from httpx2 import AsyncClient, HTTPError, Limits

PASSWORD = "Correct-Horse-7"
SILENCE = 30  # seconds until a client gives up; all limits of the contract are far lower
PAUSE = 0.005
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    Attributes:
        status: 0 without a response.
        at: the time of the request, in seconds of the monotonic clock; `ended`: of the response.
    """

    name: str
    status: int
    at: float
    ended: float
    retry_after: str | None = None
    body: str = ""

    @property
    def seconds(self) -> float:
        return self.ended - self.at


@dataclass(slots=True)
class Book:
    """
    Attributes:
        writes: registrations, by user name.
        reads: `GET /users/me` of a signed-in user.
        probes: liveness probes.
    """

    writes: list[Outcome] = field(default_factory=list)
    reads: list[Outcome] = field(default_factory=list)
    probes: list[Outcome] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def acknowledged(self) -> set[str]:
        return {it.name for it in self.writes if it.status == 201}

    @property
    def refused(self) -> set[str]:
        return {it.name for it in self.writes if it.status == 503}

    @property
    def broken(self) -> list[Outcome]:
        return [it for it in (*self.writes, *self.reads) if it.status == 0]

    def answers(self, since: float = 0) -> list[Outcome]:
        return [it for it in (*self.writes, *self.reads) if it.ended >= since]

    def slowest(self, since: float = 0) -> float:
        return max((it.seconds for it in self.answers(since)), default=0)

    def statuses(self) -> Counter[int]:
        return Counter(it.status for it in (*self.writes, *self.reads))

    def good_since(self, moment: float) -> float | None:
        """Return the time of the first acknowledgment of a write that began after `moment`."""
        times = [it.ended for it in self.writes if it.at >= moment and it.status == 201]
        return min(times, default=None)

    def check(self, *, broken: int = 0) -> None:
        """Check that each response is a success or a 503 with Retry-After, and liveness is 200."""
        wrong = [it for it in self.answers() if it.status not in (0, 200, 201, 503)]
        assert not wrong, wrong[:3]
        assert len(self.broken) <= broken, self.broken[:3]
        bare = [it for it in self.answers() if it.status == 503 and not it.retry_after]
        assert not bare, bare[:3]
        dead = [it for it in self.probes if it.status != 200]
        assert len(dead) <= broken, dead[:3]


@asynccontextmanager
async def loaded(
    url: str, *, writers: int = 6, readers: int = 2, keep_alive: bool = True, probed: bool = True
) -> AsyncIterator[Book]:
    """Load the server during the block, and wait for pending requests at its end."""
    book, stopped = Book(), asyncio.Event()
    book.held.set()
    limits = Limits(max_keepalive_connections=None if keep_alive else 0)
    async with AsyncClient(base_url=url, timeout=SILENCE, limits=limits) as client:
        token = await _sign_in(client, book) if readers else ""
        async with asyncio.TaskGroup() as group:
            works = [(book.writes, lambda: _register(client))] * writers
            works += [(book.reads, lambda: _read(client, token))] * readers
            works += [(book.probes, lambda: _probe(client))] * probed
            for outcomes, act in works:
                group.create_task(_go_on(outcomes, act, book.held, stopped))
            try:
                yield book
            finally:
                stopped.set()
                book.held.set()


async def find_missing(book: Book, database_url: str) -> set[str]:
    """Return the acknowledged users without a row or its event, and check the mails."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            "SELECT username FROM users WHERE EXISTS (SELECT FROM events"
            " WHERE subject_id = users.id AND event = 'user.registered')"
        )
        mails = await connection.fetchval("SELECT count(*) FROM mails")
    finally:
        await connection.close()
    there = {row["username"] for row in rows}
    assert mails >= len(book.acknowledged)
    return book.acknowledged - there


async def _go_on(
    outcomes: list[Outcome],
    act: Callable[[], Coroutine[Any, Any, Outcome]],
    held: asyncio.Event,
    stopped: asyncio.Event,
) -> None:
    while not stopped.is_set():
        outcomes.append(await act())
        await asyncio.sleep(PAUSE)
        await held.wait()


async def _register(client: AsyncClient) -> Outcome:
    name = f"load{next(_numbers)}"
    account = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
    return await _ask(client, name, "POST", "/auth/register", json=account)


async def _read(client: AsyncClient, token: str) -> Outcome:
    headers = {"Authorization": f"Bearer {token}"}
    return await _ask(client, "me", "GET", "/users/me", headers=headers)


async def _probe(client: AsyncClient) -> Outcome:
    outcome = await _ask(client, "live", "GET", "/health/live")
    await asyncio.sleep(0.1)
    return outcome


async def _ask(client: AsyncClient, name: str, method: str, path: str, **more: Any) -> Outcome:
    at = time.monotonic()
    try:
        answer = await client.request(method, path, **more)
    except HTTPError as error:
        return Outcome(name, 0, at, time.monotonic(), body=repr(error))
    retry_after = answer.headers.get("retry-after")
    body = answer.text if answer.status_code >= 400 else ""
    return Outcome(name, answer.status_code, at, time.monotonic(), retry_after, body)


async def _sign_in(client: AsyncClient, book: Book) -> str:
    made = await _register(client)
    book.writes.append(made)
    assert made.status == 201, made
    who = {"email": f"{made.name}@example.com", "password": PASSWORD}
    answer = await client.post("/auth/login", json=who)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])
