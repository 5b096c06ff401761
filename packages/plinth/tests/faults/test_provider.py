"""An identity provider that is slow or frozen delays only its own sign-ins, within a bound."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

from httpx2 import AsyncClient
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from plinth.accounts.providers.http import EXCHANGE_SECONDS, MAX_CONCURRENT, REQUEST_SECONDS
from tests.faults.bounds import within
from tests.faults.conftest import Measured
from tests.support.oidc_browser import TARGET
from tests.support.oidc_provider import serving_provider
from tests.support.postgres import OwnPostgres
from tests.support.serving import serving
from tests.support.valkey import OwnValkey

DISCOVERY = "/.well-known/openid-configuration"
QUERY = {"redirect_to": TARGET, "code_challenge": "a" * 43}
CREDENTIALS = {"email": "ann@example.com", "password": "Wrong-Horse-7"}


async def drip(_: Request) -> Response:
    """Send a byte each 0.1 s, without end: no single read ever times out."""

    async def bytes_without_end() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.1)

    return StreamingResponse(bytes_without_end())


async def start(client: AsyncClient) -> tuple[int, float]:
    began = time.monotonic()
    response = await client.get("/auth/oidc/fake/start", params=QUERY)
    return response.status_code, time.monotonic() - began


async def test_a_slow_provider(
    folder: Path, postgres: OwnPostgres, valkey: OwnValkey, measured: Measured
) -> None:
    with (
        serving_provider() as provider,
        serving(
            folder,
            DATABASE_URL=postgres.url,
            REDIS_URL=valkey.url,
            ENVIRONMENT="development",  # the provider has no https
            OIDC_PROVIDERS=json.dumps({"fake": provider.settings}),
            OIDC_REDIRECT_URLS=json.dumps([TARGET]),
        ) as api,
    ):
        async with AsyncClient(base_url=api.url, timeout=30) as client:
            provider.answers[DISCOVERY] = drip
            alone = await start(client)
            together = asyncio.gather(*(start(client) for _ in range(MAX_CONCURRENT + 10)))
            await asyncio.sleep(1)
            began = time.monotonic()
            assert (await client.post("/auth/login", json=CREDENTIALS)).status_code == 401
            other = time.monotonic() - began
            results = await together
            provider.answers.clear()
            recovered, _ = await start(client)
    slowest = max(seconds for _, seconds in results)
    refused_at_once = sum(seconds < 1 for _, seconds in results)
    measured("a sign-in by a slow provider", f"503 after {alone[1]:.1f} s")
    measured("the slowest of 30 at once", f"{slowest:.1f} s, {refused_at_once} refused at once")
    measured("a sign-in by password meanwhile", f"{other:.2f} s")
    assert alone[0] == 503
    assert alone[1] < within(REQUEST_SECONDS + 1)
    assert {status for status, _ in results} == {503}
    assert slowest < within(EXCHANGE_SECONDS + 1)
    assert refused_at_once >= 10
    assert other < within(2)
    assert recovered == 303
