import asyncio
from collections.abc import Awaitable, Callable

import pytest

from plinth.db.driver import connect_to_first
from tests.support.waiting import PATIENCE

STAGGER = 0.01


def answering(value: int, *, after: float = 0) -> Callable[[], Awaitable[int]]:
    async def attempt() -> int:
        await asyncio.sleep(after)
        return value

    return attempt


def failing(error: Exception) -> Callable[[], Awaitable[int]]:
    async def attempt() -> int:
        raise error

    return attempt


async def frozen() -> int:
    await asyncio.Event().wait()
    return 0


async def race(*attempts: Callable[[], Awaitable[int]]) -> tuple[tuple[int, int], list[int]]:
    discarded: list[int] = []
    async with asyncio.timeout(PATIENCE):
        won = await connect_to_first(attempts, stagger=STAGGER, discard=discarded.append)
    return won, discarded


async def test_race_continues_after_a_frozen_host() -> None:
    assert await race(frozen, frozen, answering(3)) == ((2, 3), [])


async def test_race_continues_at_once_after_a_refusing_host() -> None:
    assert await race(failing(OSError()), answering(2)) == ((1, 2), [])


async def test_race_prefers_the_first_host() -> None:
    assert await race(answering(1), answering(2)) == ((0, 1), [])


async def test_race_waits_for_a_slow_host_when_the_others_fail() -> None:
    assert await race(answering(1, after=10 * STAGGER), failing(OSError())) == ((0, 1), [])


async def test_race_without_a_winner_raises_the_first_error() -> None:
    first = OSError("first")
    with pytest.raises(OSError, match="first"):
        await race(failing(first), failing(OSError("second")))


async def test_race_discards_a_late_result() -> None:
    freed = asyncio.Event()

    async def stubborn() -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            freed.set()
        return 1

    won, discarded = await race(stubborn, answering(2))
    await freed.wait()
    await asyncio.sleep(0)
    assert (won, discarded) == ((1, 2), [1])
