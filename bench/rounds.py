"""Short alternating runs and their cost."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import asyncpg
from argon2 import PasswordHasher

from bench.load import Load, put_load
from bench.processes import memory_mib, processor_seconds
from bench.running import Running
from bench.seed import PASSWORD, start_sessions
from bench.stage import Stage
from bench.work import Work
from plinth.security import argon2id

HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
RAW, RAW_CFFI = "raw argon2id", "raw argon2-cffi"
# RAW uses the same library as our server, so that the ratio is independent of the library.
VERIFYING: Mapping[str, Callable[[str], object]] = {
    RAW: lambda stored: argon2id.verify(stored, PASSWORD.encode()),
    RAW_CFFI: lambda stored: HASHER.verify(stored, PASSWORD),
}
QUIET = ", quiet"
CANCEL = """
SELECT pg_cancel_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()
"""
ENOUGH = 2  # rounds for targets that are not near a limit
WARMING = 1  # seconds
SETTLED = 0.5  # seconds that the background load runs before and after a measurement


@dataclass(frozen=True, slots=True)
class Result:
    """One run.

    Attributes:
        rate: successful responses per second.
        p50, p99: latency in milliseconds.
        server_us, postgres_us, client_us: CPU time per response in microseconds.
    """

    work: str
    connections: int
    users: int
    target: str
    round: int
    rate: float
    p50: float
    p99: float
    refused: int
    lost: int
    server_us: float
    postgres_us: float
    client_us: float = 0

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


async def cancel_running_queries(database_url: str) -> None:
    """Cancel queries of an earlier run, which may continue for seconds without their client."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(CANCEL)
    finally:
        await connection.close()


class Bench:
    """Running targets on one stage."""

    def __init__(self, alive: Sequence[Running], stage: Stage) -> None:
        self._alive = alive
        self._stage = stage
        self._plan = stage.plan

    def do(
        self, work: Work, *, connections: tuple[int, ...] = (), rounds: int | None = None
    ) -> list[Result]:
        if work.name in self._plan.skips:
            return []
        able = [one for one in self._alive if work.name in one.target.does]
        results: list[Result] = []
        several = connections or sorted((*work.connections, *work.wide))
        for number in range(rounds or self._plan.rounds_of(work, self._stage.users)):
            for many in several:
                those = self._find_who_takes_part(able, work, many, number)
                # Alternate the direction, so that no target is always the first.
                for one in those if number % 2 == 0 else reversed(those):
                    results += self._measure(work, one, many, number)
                if work.name == "login":
                    seconds = self._plan.seconds_of(work, RAW)
                    results += (self._hash_raw(name, number, seconds) for name in VERIFYING)
        for many in several:
            self._print_rates(results, work, many)
        return results

    def _find_who_takes_part(
        self, able: Sequence[Running], work: Work, connections: int, number: int
    ) -> Sequence[Running]:
        narrow = work.few or connections in work.wide
        return [
            one
            for one in able
            if (not narrow or one.target.name in self._plan.few)
            and (number < ENOUGH or one.target.name in self._plan.close)
        ]

    def warm(self, works: Sequence[Work]) -> None:
        """Load each target before the measurements, so that its caches are filled."""
        for one in self._alive:
            able = (work for work in works if work.name in one.target.does)
            if work := next(able, None):
                self._load(work, one, 64, WARMING, "requests")

    def weigh(self) -> dict[str, dict[str, float]]:
        time.sleep(2 * SETTLED)  # the last requests are still processed after wrk has ended
        return {
            one.target.name: {
                "start_seconds": round(one.start_seconds, 2),
                "idle_mib": round(one.idle_mib),
                "loaded_mib": round(memory_mib(one.pid)),
            }
            for one in self._alive
        }

    def _measure(self, work: Work, one: Running, connections: int, number: int) -> Iterator[Result]:
        asyncio.run(cancel_running_queries(self._stage.database_url))
        if work.beside is None:
            yield self._run(work, one, connections, number)
            return
        alone = replace(work, name=f"{work.name}{QUIET}")
        yield self._run(alone, one, connections, number)
        with self._others(work.beside, one):
            yield self._run(work, one, connections, number)

    @contextmanager
    def _others(self, work: Work, one: Running) -> Iterator[None]:
        """Run another work in the background."""
        seconds = round(self._plan.seconds_of(work, one.target.name) + 2 * SETTLED)
        with ThreadPoolExecutor(1) as pool:
            others = pool.submit(self._load, work, one, work.connections[0], seconds, "others")
            time.sleep(SETTLED)
            yield
            others.result()

    def _run(self, work: Work, one: Running, connections: int, number: int) -> Result:
        before = processor_seconds(one.pid), processor_seconds(self._stage.postmaster)
        seconds = self._plan.seconds_of(work, one.target.name)
        load = self._load(work, one, connections, seconds, "requests")
        after = processor_seconds(one.pid), processor_seconds(self._stage.postmaster)
        spent = [end - begin for begin, end in zip(before, after, strict=True)]
        server, postgres, client = (
            round(it / max(load.requests, 1) * 1e6) for it in (*spent, load.processor_seconds)
        )
        return Result(
            work=work.name,
            connections=connections,
            users=self._stage.users,
            target=one.target.name,
            round=number,
            rate=round(load.rate, 1),
            p50=load.p50,
            p99=load.p99,
            refused=load.refused,
            lost=load.lost,
            server_us=server,
            postgres_us=postgres,
            client_us=client,
        )

    def _load(self, work: Work, one: Running, connections: int, seconds: int, file: str) -> Load:
        people = self._stage.people
        if work.mode == "refresh":
            people = asyncio.run(start_sessions(self._stage.database_url))
        return put_load(
            one.url,
            work.write(one.target, people, self._stage.users),
            self._stage.folder / file,
            connections=connections,
            seconds=seconds,
            mode=work.mode,
        )

    def _hash_raw(self, name: str, number: int, seconds: int) -> Result:
        """Measure the hash verifications per second of an otherwise idle machine."""
        stored = HASHER.hash(PASSWORD)
        threads = os.cpu_count() or 1
        began = time.monotonic()
        until = began + seconds

        def verify() -> int:
            done = 0
            while time.monotonic() < until:
                VERIFYING[name](stored)
                done += 1
            return done

        with ThreadPoolExecutor(threads) as pool:
            count = sum(pool.map(lambda _: verify(), range(threads)))
        took = time.monotonic() - began
        each = round(took / count * threads * 1e3, 1)
        rate = round(count / took, 1)
        return Result("login", 16, self._stage.users, name, number, rate, each, each, 0, 0, 0, 0)

    def _print_rates(self, results: Sequence[Result], work: Work, connections: int) -> None:
        """Show progress."""
        rates = [
            f"{one.target} {one.rate:.0f}"
            for one in results
            if one.connections == connections and one.round == 0
        ]
        print(f"  {work.name}, {connections}: {', '.join(rates)}", flush=True)
