"""200 concurrent sign-ins do not slow other requests. bench/login_storm.py measures it."""

import asyncio
from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from plinth.application import MIDDLEWARE
from plinth.config import settings
from plinth.http.bounds.overload import InFlightLimitMiddleware
from plinth.testing.people import People

pytestmark = pytest.mark.no_cover  # a thousand repetitions; other tests cover this faster


async def test_many_sign_ins_do_not_block_other_requests(
    client: AsyncClient, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LOGIN_FAILURE_MS", 500)  # each failed sign-in takes this long
    ann = await people.enter()

    async def guess(number: int) -> Response:
        credentials = {"email": f"nobody{number}@example.com", "password": "Wrong-Horse-8"}
        return await client.post("/auth/login", json=credentials)

    storm = [asyncio.create_task(guess(number)) for number in range(settings.MAX_IN_FLIGHT + 50)]
    await asyncio.sleep(0)
    seen = []
    while not all(guess.done() for guess in storm):
        seen.append((await client.get("/users/me", headers=ann.headers)).status_code)
        await asyncio.sleep(0.02)
    answers = await asyncio.gather(*storm)

    assert set(seen) == {200}
    assert {answer.status_code for answer in answers} == {401, 503}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)


@pytest.mark.parametrize("path", ["/api/v1/auth/login", "/api/v1/auth/token", "/admin/login"])
def test_sign_in_paths_have_a_separate_in_flight_limit(path: str) -> None:
    (limit,) = (
        it.kwargs for it in MIDDLEWARE if getattr(it, "cls", None) is InFlightLimitMiddleware
    )
    apart: Any = limit["prefix_limits"]
    assert any(path.startswith(prefix) for prefix in apart)
