"""Sign-in by a real OpenID provider, over its own pages."""

import asyncio
import re
from collections.abc import AsyncIterator
from secrets import token_urlsafe
from urllib.parse import parse_qsl, urljoin, urlsplit

import asyncpg
import pytest
from httpx2 import AsyncClient, Response

from plinth.accounts.providers import make_challenge
from plinth.config import settings
from plinth.config.providers import Provider
from plinth.testing.people import People
from tests.providers.conftest import CALLBACK
from tests.support.oidc_browser import TARGET, get_me

FORM = re.compile(r'<form[^>]* action="([^"]+)"')


@pytest.fixture(autouse=True)
def _provider(issuer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(issuer, monkeypatch)


def configure(issuer: str, monkeypatch: pytest.MonkeyPatch, client_id: str = "basic") -> None:
    provider = Provider(
        issuer=issuer, client_id=client_id, client_secret="s3cret", link_verified=True
    )
    monkeypatch.setattr(settings, "OIDC_PROVIDERS", {"real": provider})
    monkeypatch.setattr(settings, "OIDC_REDIRECT_URLS", [TARGET])


@pytest.fixture
async def pages() -> AsyncIterator[AsyncClient]:
    """The browser at the provider."""
    async with AsyncClient() as client:
        yield client


async def sign_in_at(pages: AsyncClient, url: str, login: str) -> dict[str, str]:
    """Use the pages of the provider until it redirects to the callback."""
    response = await pages.get(url)
    for _ in range(12):
        if location := response.headers.get("location"):
            url = urljoin(str(response.url), location)
            if url.startswith(CALLBACK):
                return dict(parse_qsl(urlsplit(url).query))
            response = await pages.get(url)
        else:
            response = await submit(pages, response, login)
    raise AssertionError(response.text)


async def submit(pages: AsyncClient, response: Response, login: str) -> Response:
    form = FORM.search(response.text)
    assert form, response.text
    prompt = "login" if 'value="login"' in response.text else "consent"
    fields = {"prompt": prompt, "login": login, "password": "any"}
    return await pages.post(urljoin(str(response.url), form[1]), data=fields)


async def sign_in(client: AsyncClient, pages: AsyncClient, login: str, **query: str) -> Response:
    verifier = token_urlsafe(32)
    query |= {"redirect_to": TARGET, "code_challenge": make_challenge(verifier)}
    started = await client.get("/auth/oidc/real/start", params=query)
    assert started.status_code == 303, started.text
    response = await sign_in_at(pages, started.headers["location"], login)
    assert response["iss"]
    returned = await client.get("/auth/oidc/real/callback", params=response)
    result = dict(parse_qsl(urlsplit(returned.headers["location"]).query))
    assert "code" in result, result
    body = {"code": result["code"], "code_verifier": verifier}
    return await client.post("/auth/oidc/token", json=body)


async def test_a_new_user_signs_in_and_again(client: AsyncClient, pages: AsyncClient) -> None:
    first = await get_me(client, await sign_in(client, pages, "ann"))
    assert (first["email"], first["is_verified"]) == ("ann@example.com", True)
    assert (first["username"], first["full_name"]) == ("ann", "Name of ann")
    assert await get_me(client, await sign_in(client, pages, "ann")) == first


async def test_fresh_returns_the_time_of_the_last_authentication(
    client: AsyncClient, pages: AsyncClient, second: asyncpg.Connection
) -> None:
    await sign_in(client, pages, "eve", fresh="true")
    await asyncio.sleep(2)
    assert (await sign_in(client, pages, "eve", fresh="true")).status_code == 200
    is_silent = "SELECT authenticated_at < created_at - interval '1 second' FROM sessions"
    silent = [row[0] for row in await second.fetch(f"{is_silent} ORDER BY created_at")]
    assert silent == [False, True]


async def test_a_sign_in_without_a_time_needs_another_one_with_fresh(
    client: AsyncClient, pages: AsyncClient
) -> None:
    """Without `max_age`, this provider omits `auth_time`, also just after its own sign-in."""

    async def add_app(signed_in: Response) -> Response:
        headers = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
        return await client.post("/users/me/factors/totp", json={}, headers=headers)

    refused = await add_app(await sign_in(client, pages, "fay"))
    assert refused.json()["code"] == "step_up_required"
    assert refused.json()["providers"] == ["real"]
    added = await add_app(await sign_in(client, pages, "fay", fresh="true"))
    assert added.status_code == 201, added.text


async def test_a_verified_account_is_linked(
    client: AsyncClient, pages: AsyncClient, people: People
) -> None:
    person = await people.add(email="bea@example.com", is_verified=True)
    assert (await get_me(client, await sign_in(client, pages, "bea")))["id"] == person.id


async def test_an_unverified_address_is_not_linked(
    client: AsyncClient,
    pages: AsyncClient,
    people: People,
    issuer: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure(issuer, monkeypatch, "unverified")
    await people.add(email="cal@example.com", is_verified=True)
    assert (await sign_in(client, pages, "cal")).json()["code"] == "identity_not_linked"


async def test_the_response_without_its_issuer_is_refused(
    client: AsyncClient, pages: AsyncClient, second: asyncpg.Connection
) -> None:
    query = {"redirect_to": TARGET, "code_challenge": make_challenge(token_urlsafe(32))}
    started = await client.get("/auth/oidc/real/start", params=query)
    response = await sign_in_at(pages, started.headers["location"], "dan")
    del response["iss"]
    returned = await client.get("/auth/oidc/real/callback", params=response)
    assert returned.headers["location"] == f"{TARGET}?error=provider_refused"
    reason = "SELECT reason FROM events WHERE event = 'identity.refused'"
    assert await second.fetchval(reason) == "real: response without iss"


async def test_the_user_cancels(client: AsyncClient, pages: AsyncClient) -> None:
    query = {"redirect_to": TARGET, "code_challenge": make_challenge(token_urlsafe(32))}
    started = await client.get("/auth/oidc/real/start", params=query)
    response = await pages.get(started.headers["location"])
    page = await pages.get(urljoin(str(response.url), response.headers["location"]))
    abort = re.search(r'href="([^"]+/abort)"', page.text)
    assert abort, page.text
    aborted = await pages.get(urljoin(str(page.url), abort[1]))
    resumed = await pages.get(urljoin(str(aborted.url), aborted.headers["location"]))
    answer = dict(parse_qsl(urlsplit(resumed.headers["location"]).query))
    returned = await client.get("/auth/oidc/real/callback", params=answer)
    assert returned.headers["location"] == f"{TARGET}?error=access_denied"
