"""Look-ups that share a query: none is older than its request, and none is lost."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

import pytest

from plinth.db.dataloader import DataLoader
from tests.support.waiting import PATIENCE, until


class Loader:
    """Each batch waits for its gate; its result is the state at its beginning."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gates: list[asyncio.Event] = []
        self.truth = "old"
        self.error: Exception | None = None
        self.most = self.now = 0

    async def load(self, keys: Sequence[int]) -> Mapping[int, str]:
        self.batches.append(list(keys))
        self.gates.append(gate := asyncio.Event())
        self.now += 1
        self.most = max(self.most, self.now)
        found = {key: f"{self.truth} {key}" for key in keys if key >= 0}
        await gate.wait()
        self.now -= 1
        if self.error:
            raise self.error
        return found

    def invalidate_all(self) -> None:
        for gate in self.gates:
            gate.set()


@pytest.fixture
def loader() -> Loader:
    return Loader()


def ask(batcher: DataLoader[int, str], *keys: int) -> list[asyncio.Task[str | None]]:
    return [asyncio.create_task(_get(batcher, key)) for key in keys]


async def _get(batcher: DataLoader[int, str], key: int) -> str | None:
    return await batcher.get(key)


async def begun(loader: Loader, batches: int) -> None:
    await until(lambda: len(loader.batches) == batches)


async def test_requests_of_one_loop_iteration_share_a_query(loader: Loader) -> None:
    asked = ask(DataLoader(loader.load), 1, 2, 1)
    await begun(loader, 1)
    loader.invalidate_all()
    assert await asyncio.gather(*asked) == ["old 1", "old 2", "old 1"]
    assert loader.batches == [[1, 2]]


async def test_later_requests_share_the_next_query_with_two_concurrent_at_most(
    loader: Loader,
) -> None:
    batcher = DataLoader(loader.load)
    asked = []
    for number in (1, 2):
        asked += ask(batcher, number)
        await begun(loader, number)
    asked += ask(batcher, 3)
    await asyncio.sleep(0.01)
    asked += ask(batcher, 4, 3)
    await asyncio.sleep(0.01)
    assert loader.batches == [[1], [2]]
    loader.gates[0].set()
    await begun(loader, 3)
    assert loader.batches[2] == [3, 4], "requested once, for two callers"
    loader.invalidate_all()
    assert await asyncio.gather(*asked) == ["old 1", "old 2", "old 3", "old 4", "old 3"]
    assert loader.most == 2


async def test_request_does_not_join_a_query_already_sent(loader: Loader) -> None:
    batcher = DataLoader(loader.load, max_concurrent=1)
    before = ask(batcher, 1)
    await begun(loader, 1)
    loader.truth = "new"  # a session is revoked, and the revocation has returned
    after = ask(batcher, 1)
    await asyncio.sleep(0.01)
    loader.gates[0].set()
    await begun(loader, 2)
    loader.invalidate_all()
    assert await before[0] == "old 1"
    assert await after[0] == "new 1"


async def test_missing_key_is_none(loader: Loader) -> None:
    asked = ask(DataLoader(loader.load), -1)
    await begun(loader, 1)
    loader.invalidate_all()
    assert await asked[0] is None


async def test_cancelled_request_does_not_affect_its_batch(loader: Loader) -> None:
    batcher = DataLoader(loader.load, max_concurrent=1)
    blocking = ask(batcher, 0)
    await begun(loader, 1)
    leaver, stayer = ask(batcher, 1, 1)
    await asyncio.sleep(0.01)
    leaver.cancel()
    with suppress(asyncio.CancelledError):
        await leaver
    loader.gates[0].set()
    await begun(loader, 2)
    loader.invalidate_all()
    assert await stayer == "old 1"
    assert await blocking[0] == "old 0"


async def test_batch_continues_after_all_callers_cancelled(loader: Loader) -> None:
    batcher = DataLoader(loader.load, max_concurrent=1)
    (leaver,) = ask(batcher, 1)
    await begun(loader, 1)
    leaver.cancel()
    loader.invalidate_all()
    (asked,) = ask(batcher, 2)
    await begun(loader, 2)
    loader.invalidate_all()
    assert await asked == "old 2"


async def test_error_is_raised_in_its_batch_only(loader: Loader) -> None:
    batcher = DataLoader(loader.load, max_concurrent=1)
    blocking = ask(batcher, 0)
    await begun(loader, 1)
    asked = ask(batcher, 1, 2, 1)
    await asyncio.sleep(0.01)
    loader.gates[0].set()
    assert await blocking[0] == "old 0"
    await begun(loader, 2)
    loader.error = LookupError("away")
    loader.gates[1].set()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [str(error) for error in found] == ["away"] * 3
    loader.error = None
    (after,) = ask(batcher, 1)
    await begun(loader, 3)
    loader.invalidate_all()
    assert await after == "old 1"


async def test_batch_size_is_limited(loader: Loader) -> None:
    batcher = DataLoader(loader.load, max_concurrent=1, max_batch_size=3)
    asked = ask(batcher, *range(8))
    for number in range(1, 4):
        await begun(loader, number)
        loader.invalidate_all()
    assert await asyncio.gather(*asked) == [f"old {key}" for key in range(8)]
    assert loader.batches == [[0, 1, 2], [3, 4, 5], [6, 7]]


async def test_oversized_load_runs_two_batches_concurrently(loader: Loader) -> None:
    asked = ask(DataLoader(loader.load, max_concurrent=2, max_batch_size=3), *range(8))
    await begun(loader, 2)
    loader.invalidate_all()
    await begun(loader, 3)
    loader.invalidate_all()
    await asyncio.gather(*asked)
    assert loader.batches == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert loader.most == 2


async def test_caller_past_its_timeout_is_not_loaded(loader: Loader) -> None:
    batcher = DataLoader(loader.load, max_concurrent=1, timeout=lambda: 0.05)
    (first,) = ask(batcher, 1)
    await begun(loader, 1)
    (late,) = ask(batcher, 2)

    assert list(await asyncio.wait_for(asyncio.gather(first, late), PATIENCE)) == [None, None]
    loader.invalidate_all()
    await until(lambda: len(loader.batches) == 2)
    loader.invalidate_all()
    assert loader.batches == [[1], [2]]


def test_loader_works_in_a_second_event_loop(loader: Loader) -> None:
    batcher = DataLoader(loader.load, max_concurrent=1, timeout=lambda: 0.05)

    async def hang_up() -> None:
        await batcher.get(2)

    asyncio.run(hang_up())  # its batch is cancelled with the loop
    loader.gates.clear()
    for _ in range(2):

        async def serve() -> str | None:
            asking = asyncio.ensure_future(batcher.get(1))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            loader.invalidate_all()
            return await asking

        assert asyncio.run(serve()) == "old 1"
