"""A wait that is bounded only once it is one."""

import asyncio

import pytest

from app.core.waiting import wait_until


def soon(seconds: float = 30) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_what_is_done_at_once_is_given_even_when_the_time_is_over() -> None:
    async def at_hand() -> str:
        return "here"

    assert await wait_until(soon(-1), at_hand()) == "here"


async def test_what_comes_in_time_is_given_after_any_number_of_steps() -> None:
    events = [asyncio.Event() for _ in range(3)]

    async def in_three_steps() -> str:
        for event in events:
            await event.wait()
        return "here"

    waiting = asyncio.create_task(wait_until(soon(), in_three_steps()))
    for event in events:
        await asyncio.sleep(0)
        assert not waiting.done()
        event.set()
    assert await waiting == "here"


@pytest.mark.parametrize("steps", [0, 1])
async def test_an_error_is_raised_from_any_step(steps: int) -> None:
    async def failing() -> None:
        for _ in range(steps):
            await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(LookupError):
        await wait_until(soon(), failing())


async def test_who_is_late_is_told_and_may_tidy_up() -> None:
    tidied = []

    async def late() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            tidied.append(True)

    with pytest.raises(TimeoutError):
        await wait_until(soon(0.05), late())
    assert tidied


async def test_a_cancellation_is_one_and_reaches_what_is_waited_for() -> None:
    seen = []

    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            seen.append(error)
            raise

    task = asyncio.create_task(wait_until(soon(), waiting()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen


async def test_who_takes_no_notice_of_a_cancellation_goes_on() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "here"

    task = asyncio.create_task(wait_until(soon(), stubborn()))
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "here"
