"""The hashing pool: separate threads with a bounded queue."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from platform import libc_ver

import pytest
from argon2 import PasswordHasher
from httpx2 import AsyncClient

from plinth.errors import Unavailable
from plinth.security import passwords
from plinth.security.passwords import _Pool
from plinth.testing.people import PASSWORD
from tests.support.environment import COMPLETE, ROOT, run_python
from tests.support.hashing import Held
from tests.support.waiting import until

pytestmark = pytest.mark.no_cover  # a thousand repetitions; other tests cover this faster


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.release()


async def test_full_queue_is_busy_and_recovers(held: Held) -> None:
    pool = _Pool(threads=1, queue=2)
    running = [asyncio.create_task(pool.run(held.work)) for _ in range(3)]
    await until(lambda: pool.waiting == 3)
    for _ in range(3):
        with pytest.raises(Unavailable) as refused:
            await pool.run(held.work)
        assert (refused.value.code, refused.value.retry_after) == ("busy", 1)
    held.release()
    assert await asyncio.gather(*running) == ["done"] * 3
    assert pool.waiting == 0
    assert await pool.run(lambda: "again") == "again"


async def test_failed_task_frees_its_slot() -> None:
    pool = _Pool(threads=1, queue=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await pool.run(lambda: 1 // 0)


async def test_cancelled_task_frees_its_slot_and_is_not_run(held: Held) -> None:
    pool = _Pool(threads=1, queue=2)
    waiting = [asyncio.create_task(pool.run(held.work)) for _ in range(3)]
    await until(lambda: held.begun == 1)
    await until(lambda: pool.waiting == 3)
    waiting[1].cancel()
    with suppress(asyncio.CancelledError):
        await waiting[1]
    assert pool.waiting == 2
    waiting.append(asyncio.create_task(pool.run(held.work)))
    await until(lambda: pool.waiting == 3)
    held.release()
    del waiting[1]
    assert await asyncio.gather(*waiting) == ["done"] * 3
    assert held.begun == 3


async def test_hashing_does_not_block_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_profile", PasswordHasher(2, 19456, 1))
    monkeypatch.setattr(passwords, "MAX_WAIT_SECONDS", 60)  # seconds; all thirty must be hashed
    turns = 0
    seen = []

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def hash_one() -> None:
        await passwords.hash_password(PASSWORD)
        seen.append(turns)

    turning = asyncio.create_task(turn())
    await asyncio.gather(*(hash_one() for _ in range(30)))
    turning.cancel()
    # On the loop, all thirty would be hashed between two turns.
    assert len(set(seen)) > 5


async def test_sign_in_beyond_the_queue_gets_retry_after(
    client: AsyncClient, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = _Pool(threads=1, queue=0)
    monkeypatch.setattr(passwords, "_pool", pool)
    running = asyncio.create_task(pool.run(held.work))
    await until(lambda: pool.waiting == 1)
    credentials = {"email": "nobody@example.com", "password": PASSWORD}
    answer = await client.post("/auth/login", json=credentials)
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    assert answer.headers["Retry-After"] == "1"
    held.release()
    await running
    assert (await client.post("/auth/login", json=credentials)).status_code == 401


async def test_task_that_waited_too_long_is_busy_and_not_run(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "MAX_WAIT_SECONDS", 0.02)
    pool = _Pool(threads=1, queue=5)
    running = asyncio.create_task(pool.run(held.work))
    await until(lambda: held.begun == 1)
    late = asyncio.create_task(pool.run(held.work))
    await asyncio.sleep(0.05)
    held.release()
    with pytest.raises(Unavailable) as refusal:
        await late
    assert (refusal.value.code, refusal.value.retry_after) == ("busy", 1)
    assert await running == "done"
    assert held.begun == 1


HASHING = """
import asyncio, os
from time import monotonic
from plinth.security.passwords import hash_password

def resident():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

async def hash():
    before = resident()
    for _ in range(3):
        await asyncio.gather(*(hash_password("Correct-Horse-7") for _ in range(4)))
    until = monotonic() + 60
    while (more := resident() - before) > 10 and monotonic() < until:
        await asyncio.sleep(0.01)
    assert more < 10, more

asyncio.run(hash())
"""


@pytest.mark.skipif(libc_ver()[0] != "glibc", reason="what glibc keeps, others give back or not")
def test_idle_pool_releases_its_memory() -> None:
    done = run_python(HASHING, cwd=ROOT, **COMPLETE, PASSWORD_THREADS="2")
    assert done.returncode == 0, done.stderr
