"""Requests whose parsing blocks the loop are delayed; others are not."""

import asyncio
import time

import pytest

from plinth.http.bounds.overload import PAUSE_FACTOR, Pace, is_costly_body

BLOCKS = 0.02  # seconds that parsing takes


async def parse(pace: Pace) -> None:
    await pace.wait_turn()
    time.sleep(BLOCKS)  # noqa: ASYNC251 - as a parser does


@pytest.mark.parametrize(
    ("content_type", "size"),
    [
        ("application/json", 2049),
        ("Application/Problem+JSON; charset=x", 10**6),
        ("application/x-www-form-urlencoded", 2049),
        ("multipart/form-data; boundary=x", 2049),
    ],
)
def test_costly_body_is_recognized(content_type: str, size: int) -> None:
    assert is_costly_body(content_type, size)


async def test_loop_is_free_between_turns() -> None:
    pace = Pace()
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(parse(pace))
    assert time.perf_counter() - began >= 3 * BLOCKS + 2 * PAUSE_FACTOR * BLOCKS


@pytest.mark.parametrize(
    ("content_type", "size"),
    [
        ("application/json", 2048),
        ("application/x-www-form-urlencoded", 2048),
        ("application/octet-stream", 10**9),
        ("", 10**9),
    ],
)
def test_cheap_body_is_not_delayed(content_type: str, size: int) -> None:
    assert not is_costly_body(content_type, size)


async def test_cancelled_task_does_not_block_the_queue() -> None:
    pace = Pace()
    tasks = [asyncio.create_task(parse(pace)) for _ in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    tasks[2].cancel()
    await asyncio.wait_for(tasks[3], 5)
