"""Latency of other requests while 200 users sign in at once.

    python -m bench.login_storm

Limits: the p99 of `GET /users/me` during the sign-ins is below ten times its value without them. A
sign-in that cannot be served within a second is a 503 with `Retry-After`. A separate process signs
in, so that the measurement excludes delays of the client.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass
from statistics import quantiles

from httpx2 import AsyncClient, Limits

from bench.login_timing import PASSWORD, seed
from bench.server import running_server

STORM = 200
STORMS = 5
READERS = 2
TIMES = 10
CREDENTIALS = {"email": "known@example.com", "password": PASSWORD}


@dataclass(frozen=True, slots=True)
class SignIn:
    status: int
    seconds: float
    retry_after: str | None


async def storm(url: str) -> list[SignIn]:
    """Sign in with `STORM` concurrent requests. Runs in a separate process."""
    async with AsyncClient(
        base_url=url, timeout=60, limits=Limits(max_connections=STORM)
    ) as client:

        async def sign_in() -> SignIn:
            began = time.perf_counter()
            answer = await client.post("/api/v1/auth/login", json=CREDENTIALS)
            took = time.perf_counter() - began
            return SignIn(answer.status_code, took, answer.headers.get("Retry-After"))

        return await asyncio.gather(*(sign_in() for _ in range(STORM)))


async def read_me(
    client: AsyncClient, headers: dict[str, str], until: asyncio.Event
) -> list[float]:
    times = []
    while not until.is_set():
        began = time.perf_counter()
        answer = await client.get("/api/v1/users/me", headers=headers)
        times.append(time.perf_counter() - began)
        assert answer.status_code == 200, answer.text
        await asyncio.sleep(0.002)
    return times


async def beside(
    client: AsyncClient, headers: dict[str, str], work: Awaitable[None]
) -> list[float]:
    """Return the times of reads during `work`."""
    until = asyncio.Event()
    readers = [asyncio.create_task(read_me(client, headers, until)) for _ in range(READERS)]
    await work
    until.set()
    return [found for times in await asyncio.gather(*readers) for found in times]


async def measure(url: str) -> bool:
    answers: list[SignIn] = []

    async def have_storms() -> None:
        for _ in range(STORMS):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bench.login_storm", url, stdout=asyncio.subprocess.PIPE
            )
            output, _ = await process.communicate()
            answers.extend(SignIn(*found) for found in json.loads(output))

    async with AsyncClient(base_url=url, timeout=60) as client:
        signed_in = await client.post("/api/v1/auth/login", json=CREDENTIALS)
        headers = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
        await beside(client, headers, asyncio.sleep(1))  # warm
        quiet = await beside(client, headers, asyncio.sleep(5))
        stormy = await beside(client, headers, have_storms())
    return report(quiet, stormy, answers)


def report(quiet: list[float], stormy: list[float], answers: list[SignIn]) -> bool:
    statuses = Counter(answer.status for answer in answers)
    served = sorted(answer.seconds for answer in answers if answer.status == 200)
    has_retry_after = all(answer.retry_after for answer in answers if answer.status != 200)
    before, during = quantiles(quiet, n=100)[-1], quantiles(stormy, n=100)[-1]
    print(f"GET /users/me p99: quiet {before * 1e3:.1f} ms ({len(quiet)} reads),", end=" ")
    print(f"in the storms {during * 1e3:.1f} ms ({len(stormy)}): {during / before:.1f} times")
    print(f"sign-ins: {dict(statuses)}; the slowest that was served took {served[-1]:.2f} s")
    print(f"each refusal has Retry-After: {'yes' if has_retry_after else 'NO'}")
    return during < TIMES * before and has_retry_after and set(statuses) <= {200, 503}


def main() -> None:
    if len(sys.argv) > 1:
        answers = asyncio.run(storm(sys.argv[1]))
        print(json.dumps([(one.status, one.seconds, one.retry_after) for one in answers]))
        return
    with running_server(LIMITS_ENABLED="false") as server:
        asyncio.run(seed(server.database_url))
        good = asyncio.run(measure(server.url))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
