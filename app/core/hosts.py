"""The hosts of a database's URL, and which of them answers first."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import cycle, islice
from typing import TypeVar
from urllib.parse import parse_qs

from app.core.service_urls import split_host, split_url

T = TypeVar("T")

POSTGRES_PORT = 5432

Host = tuple[str, int]


def find_hosts(url: str) -> list[Host]:
    """Of libpq's form, with as many ports as hosts, or one for all, or none."""
    parts = split_url(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    listed = parts.netloc.rpartition("@")[2]
    if listed:
        return [split_host(text, POSTGRES_PORT) for text in listed.split(",")]
    hosts = [host for host in query.get("host", "").split(",") if host]
    ports = query.get("port", "").split(",")
    return [
        (host, int(port or POSTGRES_PORT))
        for host, port in zip(hosts, islice(cycle(ports), len(hosts)), strict=True)
    ]


async def first_of(
    attempts: Sequence[Callable[[], Awaitable[T]]],
    *,
    stagger: float,
    discard: Callable[[T], object],
) -> tuple[int, T]:
    """What the first attempt to succeed gives, and its place among them.

    Each begins when the ones before it have failed, or not answered for `stagger` seconds: a frozen
    host costs that, and not its whole timeout (as RFC 8305 has it for addresses).

    Args:
        discard: takes what a second one gives that succeeds at the same moment.

    Raises:
        Exception: the first attempt's, when none succeeds.
    """
    running: dict[asyncio.Future[T], int] = {}
    waiting = deque(enumerate(attempts))
    failures: dict[int, BaseException] = {}
    try:
        while waiting or running:
            if waiting:
                place, attempt = waiting.popleft()
                running[asyncio.ensure_future(attempt())] = place
            done, _ = await asyncio.wait(
                running, timeout=stagger if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            ended = sorted((running.pop(task), task) for task in done)
            good = [(place, task.result()) for place, task in ended if not task.exception()]
            for _, spare in good[1:]:
                discard(spare)
            if good:
                return good[0]
            failures |= {place: error for place, task in ended if (error := task.exception())}
        raise failures[min(failures)]
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(lambda late: _discard_late(late, discard))


def _discard_late(task: "asyncio.Future[T]", discard: Callable[[T], object]) -> None:
    with suppress(asyncio.CancelledError):
        if task.exception() is None:
            discard(task.result())
