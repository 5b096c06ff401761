"""Bodies that block the loop take turns; the others do not wait."""

import asyncio
import time

import pytest

from plinth.core.parse_pace import PAUSE, ParsePace

BLOCKS = 0.02  # seconds that parsing takes


async def parse(pace: ParsePace, content_type: str, size: int) -> None:
    await pace.wait_turn(content_type, size)
    time.sleep(BLOCKS)  # noqa: ASYNC251 - as a parser does


@pytest.mark.parametrize(
    ("content_type", "size"),
    [
        ("application/json", 4097),
        ("Application/Problem+JSON; charset=x", 10**6),
        ("application/x-www-form-urlencoded", 2049),
        ("multipart/form-data; boundary=x", 2049),
    ],
)
async def test_between_large_ones_the_loop_is_free(content_type: str, size: int) -> None:
    pace = ParsePace()
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(parse(pace, content_type, size))
    assert time.perf_counter() - began >= 3 * BLOCKS + 2 * PAUSE * BLOCKS


@pytest.mark.parametrize(
    ("content_type", "size"),
    [
        ("application/json", 4096),
        ("application/x-www-form-urlencoded", 2048),
        ("application/octet-stream", 10**9),
        ("", 10**9),
    ],
)
async def test_others_do_not_wait(content_type: str, size: int) -> None:
    pace = ParsePace()
    for _ in range(3):
        waiting = pace.wait_turn(content_type, size)
        with pytest.raises(StopIteration):
            waiting.send(None)


async def test_one_that_leaves_the_queue_does_not_block_it() -> None:
    pace = ParsePace()
    tasks = [asyncio.create_task(parse(pace, "application/json", 10**6)) for _ in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    tasks[2].cancel()
    await asyncio.wait_for(tasks[3], 5)
