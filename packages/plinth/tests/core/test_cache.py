"""The cache and `@cached` while Valkey is running, killed or frozen.

Calls keep their timeout, concurrent calls share one computation, and failures do not raise.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.cache import Cache, cached
from plinth.cache.connecting import connect, disconnect
from plinth.testing.databases import TestServices
from tests.support.redis_calls import counting_calls
from tests.support.valkey import OwnValkey, own_valkey

BUDGET = 0.1
PATIENT_MS = 10_000  # so that a busy machine does not look like an unavailable Redis
AT_ONCE = 20


@pytest.fixture
async def store(services: TestServices) -> AsyncIterator[Cache]:
    """A cache on the server of the suite, with a separate prefix."""
    cache = Cache()
    await cache.open(services.redis_url, prefix=uuid4().hex, timeout_ms=PATIENT_MS)
    yield cache
    await cache.clear_pattern("*")
    await cache.close()


@pytest.fixture(scope="module")
def server() -> Iterator[OwnValkey]:
    with tempfile.TemporaryDirectory() as folder, own_valkey(Path(folder)) as valkey:
        yield valkey


@pytest.fixture
async def hasty(server: OwnValkey) -> AsyncIterator[Cache]:
    """A cache on a server to freeze and kill, with the timeout of a request."""
    cache = Cache()
    await cache.open(server.url, prefix=uuid4().hex, timeout_ms=int(BUDGET * 1000))
    yield cache
    server.thaw()
    if server.process.poll() is not None:
        server.restart()
    await cache.close()


class Maker:
    """A slow function that counts its calls, with a configurable result or error."""

    def __init__(self) -> None:
        self.calls = 0
        self.going = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.answer: Any = "made"

    async def make(self) -> Any:
        self.calls += 1
        self.going.set()
        await self.goes_on.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def maker() -> Maker:
    return Maker()


def remembering(
    maker: Maker, store: Cache, prefix: str = "made"
) -> Callable[[int], Awaitable[str]]:
    @cached(expire=60, key_prefix=prefix, store=store)
    async def find(number: int) -> str:
        return f"{await maker.make()} {number}"

    return find


async def test_value_is_stored_until_deleted_or_expired(store: Cache) -> None:
    value = {"name": "Zoë", "list": [1, None, True]}
    assert await store.get("a") is None
    assert await store.set("a", value)
    assert await store.get("a") == value
    left = await store.call(lambda redis: redis.ttl(store.name("a")), None)
    assert left is not None
    assert 290 < left <= 300
    assert await store.delete("a", "b") == 1
    assert await store.get("a") is None
    assert await store.delete() == 0


async def test_clear_pattern_deletes_only_matches_of_its_prefix(
    store: Cache, services: TestServices
) -> None:
    other = Cache()
    await other.open(services.redis_url, prefix=uuid4().hex, timeout_ms=PATIENT_MS)
    await other.set("users:1", 1)
    for number in range(1200):  # more than one iteration of SCAN
        await store.set(f"users:{number}", number)
    await store.set("teams:1", 1)
    assert await store.clear_pattern("users:*") == 1200
    assert await store.get("teams:1") == await other.get("users:1") == 1
    await other.clear_pattern("*")
    await other.close()


async def test_cancelled_call_leaves_no_reply_for_the_next_call(server: OwnValkey) -> None:
    one = connect(server.url, seconds=5, connections=1)
    try:
        await one.mset({"a": "mine", "b": "yours"})
        server.freeze()
        waiting = asyncio.ensure_future(one.mget(["a"]))
        await asyncio.sleep(0.05)
        waiting.cancel()
        server.thaw()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await one.mget(["b"]) == [b"yours"]
    finally:
        server.thaw()
        await disconnect(one)


async def test_unopened_cache_is_empty(maker: Maker) -> None:
    closed = Cache()
    assert await closed.get("a") is None
    assert await closed.set("a", 1) is False
    assert await closed.clear_pattern("*") == await closed.delete("a") == 0
    assert await remembering(maker, closed)(7) == "made 7"


async def test_cached_function_runs_once_for_each_argument(store: Cache, maker: Maker) -> None:
    find = remembering(maker, store)
    assert [await find(number) for number in (1, 1, 2, 1)] == [
        "made 1",
        "made 1",
        "made 2",
        "made 1",
    ]
    assert maker.calls == 2


async def test_concurrent_calls_share_one_computation(store: Cache, maker: Maker) -> None:
    find = remembering(maker, store)
    maker.goes_on.clear()
    asked = [asyncio.create_task(_call(find)) for _ in range(AT_ONCE)]
    await maker.going.wait()
    asyncio.get_running_loop().call_later(0.2, maker.goes_on.set)
    assert await asyncio.gather(*asked) == ["made 1"] * AT_ONCE
    assert maker.calls == 1


async def test_error_is_raised_in_all_sharing_calls_and_not_cached(
    store: Cache, maker: Maker
) -> None:
    find = remembering(maker, store)
    await find(2)  # the mark of another key; this one's is still to be made
    maker.answer = LookupError("not there")
    maker.goes_on.clear()
    maker.going.clear()
    asked = [asyncio.create_task(_call(find)) for _ in range(AT_ONCE)]
    await maker.going.wait()
    asyncio.get_running_loop().call_later(0.2, maker.goes_on.set)
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [str(error) for error in found] == ["not there"] * AT_ONCE
    maker.answer = "made"
    assert await find(1) == "made 1"
    assert maker.calls == 3


async def test_cancelled_call_does_not_affect_sharing_calls(store: Cache, maker: Maker) -> None:
    find = remembering(maker, store)
    maker.goes_on.clear()
    first = asyncio.create_task(_call(find))
    await maker.going.wait()
    others = [asyncio.create_task(_call(find)) for _ in range(3)]
    await asyncio.sleep(0.1)
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    maker.goes_on.set()
    assert await asyncio.gather(*others) == ["made 1"] * 3


async def test_value_computed_before_forget_is_not_cached(store: Cache, maker: Maker) -> None:
    @cached(expire=60, key_prefix="balance", store=store)
    async def find(number: int) -> str:
        return str(await maker.make())

    maker.goes_on.clear()
    maker.answer = "old"
    asked = asyncio.create_task(find(1))
    await maker.going.wait()
    await find.forget(1)  # as a request does after it has committed a change
    maker.goes_on.set()
    assert await asked == "old"
    maker.answer = "new"
    assert await find(1) == "new"


async def test_value_of_another_return_type_is_recomputed(store: Cache, maker: Maker) -> None:
    @cached(expire=60, key_prefix="shape", store=store)
    async def before() -> list[str]:
        return ["old"]

    @cached(expire=60, key_prefix="shape", store=store)
    async def after() -> dict[str, int]:
        return {"new": 1}

    await before()
    assert await after() == {"new": 1}


async def test_none_is_cached(store: Cache, maker: Maker) -> None:
    @cached(expire=60, key_prefix="nothing", store=store)
    async def find() -> str | None:
        maker.calls += 1
        return None

    assert await find() is None
    assert await find() is None
    assert maker.calls == 1


async def test_cache_key_uses_named_arguments_without_the_session() -> None:
    @cached(key_prefix="of")
    async def find(db: AsyncSession, id: int, day: date, of: UUID | None = None) -> str:  # noqa: A002
        return ""

    day = date(2026, 11, 24)
    async with AsyncSession() as one, AsyncSession() as other:
        keys = {find.key(one, 1, day), find.key(other, 1, day=day), find.key(one, 1, day, None)}
        assert len(keys) == 1
        assert find.key(one, 1, day) != find.key(one, 1, day, UUID(int=1))
        assert find.key(one, 1, day) != find.key(one, 11, day)
        with pytest.raises(TypeError, match="of: the argument day is not a plain value"):
            find.key(one, 1, ["not", "plain"])  # type: ignore[arg-type]


async def test_frozen_redis_is_tried_three_times_then_skipped(
    server: OwnValkey, hasty: Cache, maker: Maker
) -> None:
    find = remembering(maker, hasty)
    assert await find(1) == "made 1"
    server.freeze()
    with counting_calls() as calls:
        for _ in range(10):
            assert await find(1) == "made 1"
    assert calls.failed == 3, "how long each takes is in tests/faults"
    assert calls.skipped > calls.failed
    assert await hasty.get("a") is None
    assert await hasty.set("a", 1) is False
    assert await hasty.clear_pattern("*") == await hasty.delete("a") == 0


async def test_concurrent_calls_share_the_timeouts_of_a_frozen_redis(
    server: OwnValkey, hasty: Cache, maker: Maker
) -> None:
    find = remembering(maker, hasty)
    server.freeze()
    with counting_calls() as calls:
        assert await asyncio.gather(*(find(1) for _ in range(100))) == ["made 1"] * 100
    assert calls.failed <= 3


async def test_killed_redis_is_skipped_and_used_again_after_its_restart(
    server: OwnValkey, hasty: Cache, maker: Maker
) -> None:
    find = remembering(maker, hasty)
    await find(1)
    server.kill()
    for _ in range(5):
        assert await find(1) == "made 1"
        assert await hasty.get("a") is None
    assert maker.calls == 6
    server.restart()
    hasty._breaker._closed_from = 0  # noqa: SLF001 - not to wait for five seconds
    for _ in range(20):
        await find(1)
    assert maker.calls <= 8, "it remembers again"


async def test_redis_killed_during_a_computation_raises_nothing(
    server: OwnValkey, hasty: Cache, maker: Maker
) -> None:
    find = remembering(maker, hasty)
    maker.goes_on.clear()
    asked = [asyncio.create_task(_call(find)) for _ in range(3)]
    await maker.going.wait()
    server.kill()
    maker.goes_on.set()
    assert await asyncio.gather(*asked) == ["made 1"] * 3


async def _call(find: Callable[[int], Awaitable[str]]) -> str:
    return await find(1)
