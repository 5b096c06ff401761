"""The page `/account`: its policy, its settings, and when it exists. tests/browser uses it."""

import re
from collections.abc import AsyncIterator

import pytest
from httpx2 import ASGITransport, AsyncClient

from plinth.config import SettingsError, load_settings, settings
from plinth.config.providers import GITHUB, Provider
from plinth.organizations.services import invitations
from plinth.testing.answers import check_refusal
from tests.support.application import create_app
from tests.support.environment import LIBRARY

LOADED = re.compile(r'(?:src|href)="([^"]+)"')
STATIC = LIBRARY / "accounts" / "page" / "static"


@pytest.fixture(autouse=True)
def cookies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "AUTH_COOKIES", True)


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    async with open_client() as client:
        yield client


def open_client() -> AsyncClient:
    transport = ASGITransport(create_app(), raise_app_exceptions=False)
    return AsyncClient(transport=transport, base_url="http://test")


async def test_page_loads_only_local_files(client: AsyncClient) -> None:
    page = await client.get("/account")
    loaded = LOADED.findall(page.text)
    assert len(loaded) >= 3
    for address in loaded:
        assert address.startswith("/account/assets/"), address
        file = await client.get(address)
        assert file.status_code == 200, address
        assert file.headers["cache-control"].endswith("immutable")


async def test_page_policy_permits_no_inline_code_frames_forms_or_other_hosts(
    client: AsyncClient,
) -> None:
    page = await client.get("/account")
    policy = dict(
        part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";")
    )
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", page.text)


@pytest.mark.parametrize(
    "name", ["verify-email", "reset-password", "forgot-password", "email-code", invitations.PAGE]
)
async def test_links_in_mails_lead_to_the_page(client: AsyncClient, name: str) -> None:
    page, linked = await client.get("/account"), await client.get(f"/account/{name}")
    assert linked.text == page.text
    assert linked.headers["referrer-policy"] == "no-referrer"
    assert "script-src 'self';" in linked.headers["content-security-policy"]
    assert (await client.get("/account/other")).status_code == 404


async def test_names_in_the_page_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "PROJECT_NAME", "<script>Shop & Co</script>")
    async with open_client() as client:
        page = await client.get("/account")
    assert "&lt;script&gt;Shop &amp; Co" in page.text


@pytest.mark.parametrize("setting", ["AUTH_COOKIES", "ACCOUNT_PAGE"])
async def test_page_exists_only_with_both_settings(
    monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setattr(settings, setting, False)
    async with open_client() as client:
        check_refusal(await client.get("/account"), 404, "Not Found")
        check_refusal(await client.get("/account/assets/account.js"), 404, "Not Found")


async def test_providers_appear_if_the_page_may_receive_their_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    github = Provider(issuer=GITHUB, client_id="x", client_secret="y")
    keycloak = Provider(issuer="https://id.example.com", client_id="x", client_secret="y")
    providers = {"github": github, "our-staff": keycloak}
    monkeypatch.setattr(settings, "OIDC_PROVIDERS", providers)
    async with open_client() as client:
        assert "Continue with" not in (await client.get("/account")).text
    monkeypatch.setattr(settings, "OIDC_REDIRECT_URLS", ["https://example.com/shop/account"])
    monkeypatch.setattr(settings, "API_ORIGIN", "https://example.com")
    monkeypatch.setattr(settings, "ROOT_PATH", "/shop")
    async with open_client() as client:
        page = await client.get("/account")
    assert "Continue with GitHub" in page.text
    assert "Continue with Our Staff" in page.text
    assert 'data-api="/shop/api/v1"' in page.text
    assert 'src="/shop/account/assets/account.js?v=' in page.text


@pytest.mark.parametrize("enabled", [False, True])
async def test_email_codes_appear_if_they_are_enabled(
    monkeypatch: pytest.MonkeyPatch, *, enabled: bool
) -> None:
    monkeypatch.setattr(settings, "EMAIL_CODES", enabled)
    async with open_client() as client:
        page = await client.get("/account")
    assert ("Send a code by e-mail" in page.text) == enabled


async def test_page_is_not_in_the_openapi_document(client: AsyncClient) -> None:
    document = (await client.get("/api/v1/openapi.json")).json()
    assert [path for path in document["paths"] if path.startswith("/account")] == []


def test_root_path_must_not_be_that_of_the_page() -> None:
    load_settings(ROOT_PATH="/account")
    with pytest.raises(SettingsError, match="ROOT_PATH=/account is a prefix"):
        load_settings(ROOT_PATH="/account", AUTH_COOKIES=True)


def test_script_creates_no_html_from_text() -> None:
    script = (STATIC / "account.js").read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\b|document\.write", script)
    assert "https://" not in script
