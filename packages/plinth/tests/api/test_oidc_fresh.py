"""How recently a provider authenticated the user (OpenID Connect Core 1.0, section 3.1.2.1)."""

import json
from collections.abc import Awaitable, Callable
from time import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from httpx2 import AsyncClient, Response

from plinth.config import settings
from plinth.testing.people import PASSWORD, People
from tests.support.factors import App, enroll
from tests.support.mail_server import Inbox, token_of
from tests.support.oidc_browser import Browser, get_me, read_target
from tests.support.oidc_provider import REMOVED, FakeProvider

HOUR, OCTO = 3600, "octo@example.com"


async def add_app(browser: Browser, tokens: Response) -> Response:
    """Call a route that requires a fresh session."""
    assert tokens.status_code == 200, tokens.text
    headers = {"Authorization": f"Bearer {tokens.json()['access_token']}"}
    return await browser.client.post("/users/me/factors/totp", json={}, headers=headers)


async def find_reason(second: asyncpg.Connection) -> str:
    """Return the only audit reason of a refusal."""
    (row,) = await second.fetch("SELECT reason FROM events WHERE event = 'identity.refused'")
    return str(row["reason"].partition(": ")[2])


async def test_a_silent_sign_in_is_not_fresh(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    provider.claims = {"auth_time": int(time()) - HOUR}
    refused = await add_app(browser, await browser.sign_in())
    assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")
    assert refused.json()["methods"] == ["oidc", "email_code", "password_reset"]
    assert refused.json()["providers"] == ["fake"]
    age = "SELECT extract(epoch FROM now() - authenticated_at) FROM sessions"
    assert HOUR <= await second.fetchval(age) < HOUR + 60


async def test_a_sign_in_with_fresh_authenticates_again(
    browser: Browser, provider: FakeProvider
) -> None:
    provider.claims = {"auth_time": int(time()) - HOUR}
    assert (await add_app(browser, await browser.sign_in())).status_code == 403
    provider.claims = {}
    url = urlsplit((await browser.start(fresh="true")).headers["location"])
    assert parse_qs(url.query)["max_age"] == [str(settings.STEP_UP_MINUTES * 60)]
    (claims,) = parse_qs(url.query)["claims"]
    assert json.loads(claims) == {"id_token": {"auth_time": {"essential": True}}}
    added = await add_app(browser, await browser.sign_in(fresh="true"))
    assert added.status_code == 201, added.text


@pytest.mark.parametrize("query", [{}, {"fresh": "false"}])
async def test_without_fresh_the_provider_decides(browser: Browser, query: dict[str, str]) -> None:
    url = urlsplit((await browser.start(**query)).headers["location"])
    assert "max_age" not in parse_qs(url.query)
    assert (await add_app(browser, await browser.sign_in(**query))).status_code == 201


@pytest.mark.parametrize("auth_time", [REMOVED, None])
async def test_a_sign_in_without_auth_time_is_not_fresh(
    browser: Browser, provider: FakeProvider, auth_time: Any
) -> None:
    provider.claims = {"auth_time": auth_time}
    signed_in = await browser.sign_in()
    await get_me(browser.client, signed_in)
    refused = await add_app(browser, signed_in)
    assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")
    assert refused.json()["methods"] == ["oidc", "email_code", "password_reset"]


@pytest.mark.parametrize(
    ("auth_time", "reason"),
    [
        (REMOVED, "no auth_time"),
        (None, "no auth_time"),
        (-HOUR, "authenticated too long ago"),
        (-(10 * 60 + 62), "authenticated too long ago"),
    ],
)
async def test_fresh_requires_a_recent_auth_time(
    browser: Browser,
    provider: FakeProvider,
    second: asyncpg.Connection,
    auth_time: Any,
    reason: str,
) -> None:
    stated = int(time()) + auth_time if isinstance(auth_time, int) else auth_time
    provider.claims = {"auth_time": stated}
    assert await browser.get_result(fresh="true") == {"error": "provider_refused"}
    assert await find_reason(second) == f"ID token: {reason}"
    assert await second.fetchval("SELECT count(*) FROM users") == 0


async def test_fresh_cannot_be_removed_from_the_url(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    provider.claims = {"auth_time": REMOVED}
    location = (await browser.start(fresh="true")).headers["location"]
    response = provider.authorize(location.replace("max_age=", "x="))
    result = read_target(await browser.call_back(response))
    assert result == {"error": "provider_refused"}
    assert await find_reason(second) == "ID token: no auth_time"


async def test_an_authentication_within_the_leeway_is_accepted_and_is_not_fresh(
    browser: Browser, provider: FakeProvider
) -> None:
    provider.claims = {"auth_time": int(time()) - settings.STEP_UP_MINUTES * 60 - 30}
    assert (await add_app(browser, await browser.sign_in(fresh="true"))).status_code == 403


@pytest.mark.parametrize("query", [{}, {"fresh": "true"}])
@pytest.mark.parametrize("auth_time", ["1", True, -1, [], {}, 1e300, 9_000_000_000])
async def test_an_invalid_auth_time(
    browser: Browser,
    provider: FakeProvider,
    second: asyncpg.Connection,
    auth_time: Any,
    query: dict[str, str],
) -> None:
    provider.claims = {"auth_time": auth_time}
    assert await browser.get_result(**query) == {"error": "provider_refused"}
    assert await find_reason(second) == "ID token: no valid auth_time"


async def test_a_session_is_never_authenticated_later_than_now(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    provider.claims = {"auth_time": time() + 50}
    assert (await browser.sign_in(fresh="true")).status_code == 200
    assert await second.fetchval("SELECT authenticated_at <= now() FROM sessions")


async def test_only_the_id_token_states_the_time(browser: Browser, provider: FakeProvider) -> None:
    provider.userinfo = {**provider.user, "auth_time": int(time())}
    provider.user = {"sub": "ann-1"}
    provider.claims = {"auth_time": REMOVED}
    assert await browser.get_result(fresh="true") == {"error": "provider_refused"}
    provider.userinfo["auth_time"] = "yesterday"
    assert (await browser.sign_in()).status_code == 200


async def test_a_second_factor_makes_a_silent_sign_in_fresh(
    browser: Browser, provider: FakeProvider, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter(email="ann@example.com", is_verified=True)
    app = await enroll(browser.client, second, person)
    provider.claims = {"auth_time": int(time()) - HOUR}
    pending = (await browser.sign_in()).json()
    body = {"challenge": pending["challenge"], "code": app.code()}
    signed_in = await browser.client.post("/auth/mfa", json=body)
    assert (await add_app(browser, signed_in)).status_code == 201


@pytest.fixture
def github(client: AsyncClient, provider: FakeProvider) -> Browser:
    return Browser(client, provider, "github")


async def test_fresh_has_no_effect_for_github(github: Browser) -> None:
    signed_in = await github.sign_in(fresh="true")
    await get_me(github.client, signed_in)
    refused = (await add_app(github, signed_in)).json()
    assert (refused["code"], refused["methods"]) == (
        "step_up_required",
        ["email_code", "password_reset"],
    )
    assert "providers" not in refused


async def sign_in_by_code(client: AsyncClient, inbox: Inbox) -> Response:
    asked = await client.post("/auth/email-code", json={"email": OCTO})
    code = token_of(await inbox.next(OCTO, "Your code"))
    body = {"challenge": asked.json()["challenge"], "code": code}
    return await client.post("/auth/email-code/verify", json=body)


async def sign_in_after_reset(client: AsyncClient, inbox: Inbox) -> Response:
    await client.post("/auth/password/forgot", json={"email": OCTO})
    token = token_of(await inbox.next(OCTO, "Set a new password"))
    body = {"token": token, "password": PASSWORD}
    assert (await client.post("/auth/password/reset", json=body)).status_code == 204
    return await client.post("/auth/login", json={"email": OCTO, "password": PASSWORD})


MAILED = pytest.mark.parametrize(
    ("method", "sign_in"),
    [("email_code", sign_in_by_code), ("password_reset", sign_in_after_reset)],
)


@MAILED
async def test_a_user_of_github_authenticates_again_by_mail(
    github: Browser,
    inbox: Inbox,
    method: str,
    sign_in: Callable[[AsyncClient, Inbox], Awaitable[Response]],
) -> None:
    refused = await add_app(github, await github.sign_in())
    assert method in refused.json()["methods"]
    assert (await add_app(github, await sign_in(github.client, inbox))).status_code == 201


@MAILED
async def test_a_required_first_factor_needs_a_recent_authentication(
    github: Browser,
    inbox: Inbox,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    sign_in: Callable[[AsyncClient, Inbox], Awaitable[Response]],
) -> None:
    """The first sign-in by GitHub makes the account, and a mail lets its owner add the factor."""
    monkeypatch.setattr(settings, "MFA_REQUIRED", "all")
    for _ in range(2):
        refused = await github.sign_in()
        assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")
        assert "challenge" not in refused.json()
        assert method in refused.json()["methods"]
    assert await second.fetchval("SELECT count(*) FROM challenges WHERE user_id IS NOT NULL") == 0
    pending = (await sign_in(github.client, inbox)).json()
    assert (pending["code"], pending["methods"]) == ("mfa_required", [])
    added = await github.client.post("/auth/mfa/totp", json={"challenge": pending["challenge"]})
    body = {"challenge": pending["challenge"], "code": App.of(added.json()).code()}
    assert (await github.client.post("/auth/mfa", json=body)).status_code == 200


@pytest.mark.parametrize("auth_time", [REMOVED, 1_000_000_000])
async def test_a_required_first_factor_after_a_silent_sign_in(
    browser: Browser,
    provider: FakeProvider,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    auth_time: Any,
) -> None:
    monkeypatch.setattr(settings, "MFA_REQUIRED", "all")
    provider.claims = {"auth_time": auth_time}
    refused = await browser.sign_in()
    assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")
    assert refused.json()["providers"] == ["fake"]
    reason = "SELECT reason FROM events WHERE event = 'session.started' AND outcome = 'failure'"
    assert await second.fetchval(reason) == "authenticated too long ago to add a second factor"
    provider.claims = {}
    pending = (await browser.sign_in(fresh="true")).json()
    assert (pending["code"], pending["methods"]) == ("mfa_required", [])


async def test_a_removed_provider_is_no_way_to_authenticate_again(
    browser: Browser, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.claims = {"auth_time": REMOVED}
    signed_in = await browser.sign_in()
    monkeypatch.setattr(settings, "OIDC_PROVIDERS", {})
    monkeypatch.setattr(settings, "EMAIL_CODES", False)
    assert (await add_app(browser, signed_in)).json()["methods"] == ["password_reset"]


async def test_a_silent_sign_in_without_a_factor_names_the_password(
    browser: Browser, provider: FakeProvider, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no session that the password could renew, so the user signs in again with it."""
    person = await people.add(email="ann@example.com", is_verified=True)
    monkeypatch.setattr(settings, "MFA_REQUIRED", "all")
    provider.claims = {"auth_time": REMOVED}
    refused = (await browser.sign_in()).json()
    assert (refused["code"], refused["methods"]) == ("step_up_required", ["password"])
    assert refused["detail"] == "Sign in again to continue, by one of the methods"
    pending = (await people.try_to_sign_in(person)).json()
    assert (pending["code"], pending["methods"]) == ("mfa_required", [])
