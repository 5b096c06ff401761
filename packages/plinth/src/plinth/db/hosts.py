"""Which of several hosts answers first."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def connect_to_first(
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
