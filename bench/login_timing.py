"""Comparison of the response times of four kinds of refused sign-ins, interleaved.

    python -m bench.login_timing [--samples 500]

The kinds: unknown e-mail, wrong password, wrong password for an imported bcrypt hash, and the right
password of an inactive user. Limit: their medians differ by at most 5 %.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Iterator
from statistics import median, quantiles

import asyncpg
import bcrypt
from argon2 import PasswordHasher
from httpx2 import AsyncClient

from bench.server import running_server

PASSWORD = "Correct-Horse-7"
WITHIN = 0.05
KINDS = {
    "unknown": ("nobody@example.com", "Wrong-Horse-8"),
    "wrong": ("known@example.com", "Wrong-Horse-8"),
    "legacy": ("legacy@example.com", "Wrong-Horse-8"),
    "inactive": ("inactive@example.com", PASSWORD),
}


async def measure(url: str, samples: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    order = [kind for kind in KINDS for _ in range(samples)]
    random.shuffle(order)
    waiting = iter(order)
    async with AsyncClient(base_url=url, timeout=30) as client:
        # Four at a time: a refusal mostly waits, and a sequential run would take hours.
        await asyncio.gather(*(_take(client, waiting, times) for _ in range(4)))
    return times


async def _take(client: AsyncClient, waiting: Iterator[str], times: dict[str, list[float]]) -> None:
    for kind in waiting:
        email, password = KINDS[kind]
        began = time.perf_counter()
        answer = await client.post(
            "/api/v1/auth/login", json={"email": email, "password": password}
        )
        times[kind].append(time.perf_counter() - began)
        assert answer.status_code in (400, 401), answer.text


async def seed(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    ours = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1).hash(PASSWORD)
    theirs = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(12)).decode()
    for name, stored, active in (
        ("known", ours, True),
        ("legacy", theirs, True),
        ("inactive", ours, False),
    ):
        await connection.execute(
            "INSERT INTO users (email, username, hashed_password, is_active)"
            " VALUES ($1 || '@example.com', $1, $2, $3)",
            name,
            stored,
            active,
        )
    await connection.close()


def report(times: dict[str, list[float]]) -> bool:
    print(f"{'kind':10} {'median ms':>10} {'p5':>8} {'p95':>8}")
    for kind, found in times.items():
        cuts = quantiles(found, n=20)
        print(f"{kind:10} {median(found) * 1e3:10.1f} {cuts[0] * 1e3:8.1f} {cuts[-1] * 1e3:8.1f}")
    medians = [median(found) for found in times.values()]
    apart = max(medians) / min(medians) - 1
    print(f"the medians lie within {apart:.1%} of each other; limit: {WITHIN:.0%}")
    return apart <= WITHIN


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=500, help="number of sign-ins of each kind")
    samples = parser.parse_args().samples
    # Other load on the machine must not cause a 503; this run does not test that limit.
    with running_server(LIMITS_ENABLED="false", PASSWORD_WAIT_MS="60000") as server:
        asyncio.run(seed(server.database_url))
        times = asyncio.run(measure(server.url, samples))
    sys.exit(0 if report(times) else 1)


if __name__ == "__main__":
    main()
