"""No single user or IP address can fill the hashing pool."""

import asyncio
from collections.abc import Iterator
from contextvars import Context

import pytest
from httpx2 import AsyncClient

from plinth.errors import Unavailable
from plinth.request.client import Client
from plinth.request.context import begin_request
from plinth.security import hash_shares, passwords
from plinth.security.hash_shares import HashShares, Key, keys_of_request
from plinth.testing.people import PASSWORD, People
from tests.support.hashing import Held
from tests.support.waiting import PATIENCE, until

ANN, BEN = Key("user 1", at_once=2, waiting=3), Key("user 2", at_once=2, waiting=3)


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.release()


class Refused(Exception):
    pass


async def hold(shares: HashShares, *keys: Key, until_set: asyncio.Event, begun: list[str]) -> None:
    async with shares.take(keys, seconds=10):
        begun.append(keys[0].name)
        await until_set.wait()


async def test_share_runs_some_queues_some_and_refuses_the_rest() -> None:
    shares, go, begun = HashShares(Refused), asyncio.Event(), list[str]()
    anns = [asyncio.create_task(hold(shares, ANN, until_set=go, begun=begun)) for _ in range(9)]
    await asyncio.sleep(0.01)
    bens = asyncio.create_task(hold(shares, BEN, until_set=go, begun=begun))
    await asyncio.sleep(0.01)
    assert begun == ["user 1"] * 2 + ["user 2"]
    assert sum(it.done() for it in anns) == 4
    go.set()
    done = await asyncio.gather(*anns, bens, return_exceptions=True)
    assert [type(it) for it in done if it] == [Refused] * 4
    assert begun == ["user 1"] * 2 + ["user 2"] + ["user 1"] * 3
    assert len(shares) == 0


async def test_queued_request_is_refused_after_its_timeout() -> None:
    shares, go = HashShares(Refused), asyncio.Event()
    holding = [asyncio.create_task(hold(shares, ANN, until_set=go, begun=[])) for _ in range(2)]
    await asyncio.sleep(0.01)
    for _ in range(5):
        with pytest.raises(Refused):
            async with asyncio.timeout(PATIENCE), shares.take([ANN], seconds=0.01):
                pass
    go.set()
    await asyncio.gather(*holding)
    assert len(shares) == 0


def test_request_counts_for_its_user_and_its_ip() -> None:
    def check() -> None:
        assert keys_of_request(threads=2, queue=80) == []
        info = begin_request(None, Client("2001:db8:1:2:3::4", None))
        (address,) = keys_of_request(threads=2, queue=80)
        assert address == Key("address 2001:db8:1:2::/64", 8, 80)
        info.user_id = 7
        assert keys_of_request(threads=2, queue=80) == [Key("user 7", 2, 20), address]

    # Async tests of one process share a context, which may have the request of an earlier test.
    Context().run(check)


async def test_password_changes_of_one_user_do_not_fill_the_pool(
    client: AsyncClient, people: People, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """24 sessions of one user with 5 concurrent changes each."""
    ann, ben = await people.enter(), await people.enter()
    sessions = [await people.sign_in(ann) for _ in range(24)]
    pool = passwords._Pool(threads=2, queue=80)  # noqa: SLF001
    monkeypatch.setattr(passwords, "_pool", pool)
    blocking = [asyncio.create_task(pool.run(held.work)) for _ in range(2)]
    await until(lambda: held.begun == 2)
    change = {"password": "Other-Horse-8", "current_password": PASSWORD}
    changing = [
        asyncio.create_task(client.patch("/users/me", json=change, headers=it.headers))
        for it in sessions
        for _ in range(5)
    ]
    most = passwords.THREADS + hash_shares.MAX_WAITING_PER_USER
    await until(lambda: sum(it.done() for it in changing) == 120 - most)
    assert pool.waiting == 2 + passwords.THREADS, "beside the two that block it"

    signing_in = asyncio.create_task(people.try_to_sign_in(ben))
    await until(lambda: pool.waiting == 3 + passwords.THREADS)
    held.release()
    assert (await signing_in).status_code == 200
    statuses = [(await it).status_code for it in changing]
    assert statuses.count(503) == 120 - most
    assert statuses.count(200) == 1
    await asyncio.gather(*blocking)


async def test_full_pool_is_unavailable(held: Held) -> None:
    pool = passwords._Pool(threads=1, queue=0)  # noqa: SLF001
    running = asyncio.create_task(pool.run(held.work))
    await until(lambda: held.begun == 1)
    with pytest.raises(Unavailable):
        await pool.run(held.work)
    held.release()
    await running
