"""Short runs in turn, and what each cost."""

import asyncio
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from argon2 import PasswordHasher

from bench.load import put_load
from bench.plan import Plan
from bench.processes import memory_mib, processor_seconds
from bench.seed import PASSWORD, Person, sign_in_anew
from bench.targets import Running
from bench.work import Work

HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
OURS, RAW = "plinth", "raw argon2id"


@dataclass(frozen=True, slots=True)
class Result:
    """One run.

    Attributes:
        rate: good answers a second.
        p50, p99: milliseconds.
        server_us, postgres_us: processor time for each answer.
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

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Stage:
    """What all of them stand on."""

    plan: Plan
    people: Sequence[Person]
    users: int
    database_url: str
    postmaster: int
    folder: Path


class Bench:
    """Targets that run on one stage."""

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
        results = []
        for many in connections or sorted((*work.connections, *work.wide)):
            those = able
            if many in work.wide:
                those = [one for one in able if one.target.name in self._plan.few]
            for number in range(rounds or self._plan.rounds_with(self._stage.users)):
                turn = number % max(len(those), 1)
                order = (*those[turn:], *those[:turn])
                results += [self._run(work, one, many, number) for one in order]
                if work.name == "login":
                    results.append(self._hash_raw(number))
            self._tell(results, work, many)
        return results

    def weigh(self) -> dict[str, dict[str, float]]:
        return {
            one.target.name: {
                "start_seconds": round(one.start_seconds, 2),
                "idle_mib": round(one.idle_mib),
                "loaded_mib": round(memory_mib(one.pid)),
            }
            for one in self._alive
        }

    def _run(self, work: Work, one: Running, connections: int, number: int) -> Result:
        people, mode = self._stage.people, "in turn"
        if work.mode == "refresh" and one.target.name == OURS:
            people, mode = asyncio.run(sign_in_anew(self._stage.database_url)), work.mode
        requests = list(work.write(one.target, people, self._stage.users))
        before = processor_seconds(one.pid), processor_seconds(self._stage.postmaster)
        load = put_load(
            one.url,
            requests,
            self._stage.folder / "requests",
            connections=connections,
            seconds=self._plan.seconds,
            mode=mode,
        )
        after = processor_seconds(one.pid), processor_seconds(self._stage.postmaster)
        server, postgres = (
            (end - begin) / max(load.requests, 1) * 1e6
            for begin, end in zip(before, after, strict=True)
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
            server_us=round(server),
            postgres_us=round(postgres),
        )

    def _hash_raw(self, number: int) -> Result:
        """What the cores can verify when they do nothing else."""
        stored = HASHER.hash(PASSWORD)
        threads = os.cpu_count() or 1
        began = time.monotonic()
        until = began + self._plan.seconds

        def verify() -> int:
            done = 0
            while time.monotonic() < until:
                HASHER.verify(stored, PASSWORD)
                done += 1
            return done

        with ThreadPoolExecutor(threads) as pool:
            count = sum(pool.map(lambda _: verify(), range(threads)))
        took = time.monotonic() - began
        each = round(took / count * threads * 1e3, 1)
        rate = round(count / took, 1)
        return Result("login", 16, self._stage.users, RAW, number, rate, each, each, 0, 0, 0, 0)

    def _tell(self, results: Sequence[Result], work: Work, connections: int) -> None:
        """That something goes on."""
        rates = [
            f"{one.target} {one.rate:.0f}"
            for one in results
            if one.connections == connections and one.round == 0
        ]
        print(f"  {work.name}, {connections}: {', '.join(rates)}", flush=True)
