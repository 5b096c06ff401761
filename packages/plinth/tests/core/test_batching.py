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


async def test_what_arrives_in_one_turn_of_the_loop_shares_a_query(loader: Loader) -> None:
    asked = ask(DataLoader(loader.load), 1, 2, 1)
    await begun(loader, 1)
    loader.invalidate_all()
    assert await asyncio.gather(*asked) == ["old 1", "old 2", "old 1"]
    assert loader.batches == [[1, 2]]


async def test_what_arrives_meanwhile_shares_the_next_query_and_at_most_two_are_under_way(
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


async def test_nobody_joins_a_query_that_was_sent(loader: Loader) -> None:
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


async def test_a_key_without_a_value_is_none(loader: Loader) -> None:
    asked = ask(DataLoader(loader.load), -1)
    await begun(loader, 1)
    loader.invalidate_all()
    assert await asked[0] is None


async def test_who_hangs_up_does_not_take_the_answer_from_the_others(loader: Loader) -> None:
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


async def test_when_all_have_hung_up_the_next_are_served(loader: Loader) -> None:
    batcher = DataLoader(loader.load, max_concurrent=1)
    (leaver,) = ask(batcher, 1)
    await begun(loader, 1)
    leaver.cancel()
    loader.invalidate_all()
    (asked,) = ask(batcher, 2)
    await begun(loader, 2)
    loader.invalidate_all()
    assert await asked == "old 2"


async def test_an_error_reaches_all_in_its_batch_and_nobody_else(loader: Loader) -> None:
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


async def test_a_batch_has_a_largest_size_and_the_rest_comes_next(loader: Loader) -> None:
    batcher = DataLoader(loader.load, max_concurrent=1, max_batch_size=3)
    asked = ask(batcher, *range(8))
    for number in range(1, 4):
        await begun(loader, number)
        loader.invalidate_all()
    assert await asyncio.gather(*asked) == [f"old {key}" for key in range(8)]
    assert loader.batches == [[0, 1, 2], [3, 4, 5], [6, 7]]


async def test_of_more_than_fit_in_one_batch_two_are_under_way(loader: Loader) -> None:
    asked = ask(DataLoader(loader.load, max_concurrent=2, max_batch_size=3), *range(8))
    await begun(loader, 2)
    loader.invalidate_all()
    await begun(loader, 3)
    loader.invalidate_all()
    await asyncio.gather(*asked)
    assert loader.batches == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert loader.most == 2


async def test_who_has_no_more_patience_is_given_nothing(loader: Loader) -> None:
    batcher = DataLoader(loader.load, max_concurrent=1, timeout=lambda: 0.05)
    (first,) = ask(batcher, 1)
    await begun(loader, 1)
    (late,) = ask(batcher, 2)

    assert list(await asyncio.wait_for(asyncio.gather(first, late), PATIENCE)) == [None, None]
    loader.invalidate_all()
    await until(lambda: len(loader.batches) == 2)
    loader.invalidate_all()
    assert loader.batches == [[1], [2]]


def test_it_serves_one_loop_after_another(loader: Loader) -> None:
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
