"""`/account` in a browser: providers, required second factors, devices and impersonation."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest
from playwright.sync_api import Browser, expect
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from plinth.testing.databases import TestServices
from plinth.testing.people import PASSWORD
from tests.browser.account import Site, Visit, make_app_code, serving_site, visiting
from tests.support.mail_server import Inbox, serving_mail
from tests.support.oidc_provider import REMOVED, FakeProvider, serving_provider

IMPERSONATE = """async ([api, id]) => {
    const { csrf_token } = await (await fetch(`${api}/auth/cookies/csrf`)).json()
    const headers = {
        "Content-Type": "application/json",
        "X-Auth-Transport": "cookie",
        "X-CSRF-Token": csrf_token,
    }
    const body = JSON.stringify({ reason: "ticket 7" })
    const path = `${api}/users/${id}/impersonation`
    return (await fetch(path, { method: "POST", headers, body })).status
}"""


@pytest.fixture(scope="module")
def inbox() -> Iterator[Inbox]:
    with serving_mail() as inbox:
        yield inbox


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with serving_provider() as provider:

        async def authorize(request: Request) -> Response:
            (target,) = parse_qs(request.url.query)["redirect_uri"]
            if provider.user["sub"] == "nobody":
                (state,) = parse_qs(request.url.query)["state"]
                found = {"state": state, "error": "access_denied"}
            else:
                found = provider.authorize(str(request.url))
            return RedirectResponse(f"{target}?{urlencode(found)}", 303)

        provider.answers["/authorize"] = authorize
        yield provider


@pytest.fixture(scope="module")
def site(
    services: TestServices,
    database_url: str,
    inbox: Inbox,
    provider: FakeProvider,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("account")
    providers = json.dumps({"heron": provider.settings})
    with serving_site(services, database_url, inbox, folder, OIDC_PROVIDERS=providers) as site:
        yield site


@pytest.fixture
def visit(browser: Browser, site: Site, provider: FakeProvider) -> Iterator[Visit]:
    with visiting(browser, site, provider.url) as visit:
        yield visit


def use_provider(provider: FakeProvider, name: str) -> str:
    email = f"{name}@example.com"
    provider.user.update(sub=name, email=email, preferred_username=name, name=name.title())
    return email


def test_a_user_registers_with_a_provider(visit: Visit, site: Site, provider: FakeProvider) -> None:
    page, email = visit.page, use_provider(provider, "petra")
    visit.inspect("providers")
    page.get_by_role("button", name="Continue with Heron").click()
    visit.expect_signed_in()
    assert page.url == f"{site.origin}/account"
    expect(visit.card("Profile")).to_contain_text(email)
    expect(visit.card("Profile")).to_contain_text("Verified")
    expect(visit.card("Connected accounts").get_by_role("listitem")).to_contain_text(email)

    site.let_time_pass(email)
    apps = visit.card("Authenticator apps")
    apps.get_by_role("button", name="Add an app").click()
    visit.answer("Name", "Phone")
    with page.expect_request(re.compile(r"/authorize\?.*max_age=600")):
        page.get_by_role("dialog").get_by_role("button", name="Continue").click()
    visit.expect_signed_in()
    apps.get_by_role("button", name="Add an app").click()
    visit.answer("Name", "Phone")
    expect(apps.get_by_role("img")).to_be_visible()
    visit.sign_out()


def test_a_provider_without_a_time_is_no_recent_sign_in(
    visit: Visit, site: Site, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, email = visit.page, use_provider(provider, "ulla")
    monkeypatch.setattr(provider, "claims", {"auth_time": REMOVED})
    page.get_by_role("button", name="Continue with Heron").click()
    visit.expect_signed_in()
    visit.card("Authenticator apps").get_by_role("button", name="Add an app").click()
    visit.answer("Name", "Phone")
    page.get_by_role("dialog").get_by_role("button", name="Continue").click()
    alert = page.locator("#sign-in").get_by_role("alert")
    expect(alert).to_contain_text("did not confirm a recent sign-in. Sign in with a code by e-mail")
    site.execute("UPDATE identities SET provider = 'removed' WHERE email = $1", email)
    page.reload()
    visit.expect_signed_in()
    visit.card("Authenticator apps").get_by_role("button", name="Add an app").click()
    visit.answer("Name", "Phone")
    alert = visit.card("Authenticator apps").get_by_role("alert")
    expect(alert).to_contain_text("Sign in with a code by e-mail, and continue")
    visit.sign_out()


def test_a_refusal_of_the_provider_is_shown(visit: Visit, provider: FakeProvider) -> None:
    use_provider(provider, "nobody")
    visit.page.get_by_role("button", name="Continue with Heron").click()
    alert = visit.page.locator("#sign-in").get_by_role("alert")
    expect(alert).to_contain_text("The provider did not confirm the sign-in")
    visit.page.reload()
    expect(visit.page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(alert).to_be_empty()


def test_a_user_connects_and_removes_an_account(
    visit: Visit, site: Site, provider: FakeProvider
) -> None:
    page, email = visit.page, site.register("quentin")
    other = use_provider(provider, "quentin-at-work")
    visit.sign_in(email)
    visit.expect_signed_in()
    site.let_time_pass(email)
    identities = visit.card("Connected accounts")
    identities.get_by_role("button", name="Connect Heron").click()
    dialog = page.get_by_role("dialog", name="Confirm that it is you")
    dialog.get_by_label("Password", exact=True).fill(PASSWORD)
    dialog.get_by_role("button", name="Continue").click()
    expect(identities.get_by_role("alert")).to_have_text("The account is connected.")
    expect(identities.get_by_role("listitem")).to_contain_text(other)
    visit.inspect("connected")
    identities.get_by_role("button", name=f"Remove {other}").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(identities.get_by_text("No account connected yet.")).to_be_visible()


def test_a_user_signs_out_other_devices_and_all(visit: Visit, site: Site) -> None:
    page, email = visit.page, site.register("rosa")
    visit.sign_in(email)
    visit.expect_signed_in()
    devices = visit.card("Signed-in devices")
    expect(devices.get_by_role("button", name="all other devices")).to_be_hidden()
    for _ in range(3):
        site.sign_in_elsewhere(email)
    page.reload()
    expect(devices.get_by_role("listitem")).to_have_count(4)
    devices.get_by_role("button", name="all other devices").click()
    expect(devices.get_by_role("listitem")).to_have_count(1)
    expect(devices.get_by_role("listitem")).to_contain_text("This device")
    devices.get_by_role("button", name="Sign out everywhere").click()
    page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_session_of_support_is_marked(visit: Visit, site: Site, browser: Browser) -> None:
    admin, email = site.register("sven"), site.register("theresa")
    site.execute("UPDATE users SET is_superuser = true WHERE email = $1", admin)
    user_id = site.fetch("SELECT id FROM users WHERE email = $1", email)
    visit.sign_in(admin)
    visit.expect_signed_in()
    assert visit.page.evaluate(IMPERSONATE, ["/api/v1", user_id]) == 204
    visit.page.reload()
    expect(visit.page.get_by_text("You are signed in as this user for support")).to_be_visible()
    expect(visit.card("Profile")).to_contain_text(email)
    visit.inspect("impersonating")
    visit.card("Passkeys").get_by_role("button", name="Add a passkey").click()
    visit.answer("Name", "Mine")
    alert = visit.card("Passkeys").get_by_role("alert")
    expect(alert).to_have_text("Not available while you impersonate a user")

    with visiting(browser, site) as owner:
        owner.sign_in(email)
        owner.expect_signed_in()
        row = owner.card("Signed-in devices").get_by_role("listitem").filter(has_text="Support")
        row.get_by_role("button", name="Sign out").click()
        expect(owner.card("Signed-in devices").get_by_role("listitem")).to_have_count(1)


@pytest.fixture(scope="module")
def strict_site(
    services: TestServices,
    database_url: str,
    inbox: Inbox,
    provider: FakeProvider,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("account")
    providers = json.dumps({"heron": {**provider.settings, "link_verified": True}})
    more = {"MFA_REQUIRED": "all", "OIDC_PROVIDERS": providers}
    with serving_site(services, database_url, inbox, folder, **more) as site:
        yield site


def test_a_silent_sign_in_without_a_factor_names_the_password(
    browser: Browser, strict_site: Site, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = strict_site.register("xenia")
    strict_site.execute("UPDATE users SET is_verified = true WHERE email = $1", email)
    use_provider(provider, "xenia")
    monkeypatch.setattr(provider, "claims", {"auth_time": REMOVED})
    with visiting(browser, strict_site, provider.url) as visit:
        visit.page.get_by_role("button", name="Continue with Heron").click()
        alert = visit.page.locator("#sign-in").get_by_role("alert")
        expect(alert).to_contain_text("not recent enough. Sign in with your password, and continue")


def test_a_required_app_is_added_during_the_sign_in(browser: Browser, strict_site: Site) -> None:
    email = strict_site.register("ursula")
    with visiting(browser, strict_site) as visit:
        page = visit.page
        visit.sign_in(email)
        expect(page.get_by_role("heading", name="Add a second factor")).to_be_visible()
        visit.inspect("enrollment")
        page.get_by_role("button", name="Use an authenticator app").click()
        secret = page.locator("#enrollment code").inner_text()
        page.get_by_label("Code of the app").fill("000000")
        page.get_by_role("button", name="Confirm").click()
        expect(page.locator("#enrollment").get_by_role("alert")).not_to_be_empty()
        visit.inspect("enrollment-app")
        page.get_by_label("Code of the app").fill(make_app_code(secret))
        page.get_by_role("button", name="Confirm").click()
        visit.expect_signed_in()
        expect(visit.card("Recovery codes")).to_be_visible()


def test_a_required_passkey_is_added_during_the_sign_in(
    browser: Browser, strict_site: Site
) -> None:
    email = strict_site.register("viktor")
    with visiting(browser, strict_site) as visit:
        page = visit.page
        visit.sign_in(email)
        visit.authenticator.touch(touches=True)
        page.get_by_role("button", name="Use a passkey").click()
        visit.expect_signed_in()
        visit.authenticator.touch(touches=False)
        visit.sign_out()
        visit.sign_in(email)
        expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
        visit.authenticator.touch(touches=True)
        page.get_by_role("button", name="Continue").click()
        visit.expect_signed_in()
