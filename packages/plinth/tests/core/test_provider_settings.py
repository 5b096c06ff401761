"""`OIDC_PROVIDERS` and the URLs that belong to it are checked at start."""

import json
from pathlib import Path
from typing import Any

import pytest

from plinth.config import Settings, SettingsError, load_settings
from tests.support.environment import COMPLETE

GOOGLE = {"issuer": "https://accounts.google.com", "client_id": "id", "client_secret": "hush"}
GITHUB = {"kind": "github", "client_id": "id", "client_secret": "hush"}
TENANT = "11111111-1111-4111-8111-111111111111"
MICROSOFT = {**GOOGLE, "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}
TARGETS = '["https://app.example.com/signed-in"]'


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("API_ORIGIN", "https://api.example.com")
    monkeypatch.setenv("OIDC_REDIRECT_URLS", TARGETS)


def load(patch: pytest.MonkeyPatch, providers: dict[str, Any], **values: str) -> Settings:
    patch.setenv("OIDC_PROVIDERS", json.dumps(providers))
    for name, value in values.items():
        patch.setenv(name, value)
    return load_settings()


def find_faults(patch: pytest.MonkeyPatch, providers: dict[str, Any], **values: str) -> str:
    with pytest.raises(SettingsError) as raised:
        load(patch, providers, **values)
    text = "\n".join(raised.value.faults)
    assert "hush" not in text
    return text


def test_valid_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    microsoft = {**MICROSOFT, "tenants": [TENANT]}
    names = {"google": GOOGLE, "github": GITHUB, "microsoft": microsoft}
    settings = load(monkeypatch, names)
    assert settings.OIDC_PROVIDERS["github"].issuer == "https://github.com"
    assert settings.OIDC_PROVIDERS["microsoft"].issuers == {
        f"https://login.microsoftonline.com/{TENANT}/v2.0"
    }
    assert not settings.OIDC_PROVIDERS["google"].link_verified
    assert "hush" not in repr(settings)
    assert "hush" not in repr(settings.OIDC_PROVIDERS)


ISSUERS = [
    "http://accounts.example.com",
    "http://localhost:8080",
    "http://127.0.0.1",
    "http://169.254.169.254/latest/meta-data",
    "file:///etc/passwd",
    "gopher://10.0.0.1",
    "//accounts.example.com",
    "accounts.example.com",
    "https://",
    "https://user:hush@accounts.example.com",
    "https://accounts.example.com?tenant=1",
    "https://accounts.example.com#a",
    "https://accounts.example.com\\@evil.example",
    "https://accounts.example.com/a b",
    "https://accounts.example.com:99999",
    f"https://accounts.example.com/{'a' * 255}",
    "",
]


@pytest.mark.parametrize("issuer", ISSUERS)
def test_an_issuer_that_is_refused(monkeypatch: pytest.MonkeyPatch, issuer: str) -> None:
    faults = find_faults(monkeypatch, {"google": {**GOOGLE, "issuer": issuer}})
    assert faults.startswith("OIDC_PROVIDERS")


@pytest.mark.parametrize(
    "provider",
    [
        {},
        {**GOOGLE, "client_secret": ""},
        {**GOOGLE, "client_id": ""},
        {**GOOGLE, "link_verfied": True},
        {**GOOGLE, "kind": "facebook"},
        {**GOOGLE, "tenants": [TENANT]},
        {**GITHUB, "tenants": [TENANT]},
        MICROSOFT,
        {**MICROSOFT, "tenants": []},
        {**MICROSOFT, "tenants": ["common"]},
        {"client_id": "id", "client_secret": "hush"},
    ],
)
def test_a_provider_that_is_refused(
    monkeypatch: pytest.MonkeyPatch, provider: dict[str, Any]
) -> None:
    assert find_faults(monkeypatch, {"name": provider}).startswith("OIDC_PROVIDERS name")


@pytest.mark.parametrize("name", ["", "Google", "a b", "../x", "a/b", "1", "a" * 51])
def test_a_name_that_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert find_faults(monkeypatch, {name: GOOGLE}).startswith("OIDC_PROVIDERS")


@pytest.mark.parametrize(
    ("providers", "message"),
    [
        ({"Goo gle": GOOGLE}, "OIDC_PROVIDERS Goo gle: the name of a provider begins with a lower"),
        ({"a": "https://a"}, "OIDC_PROVIDERS a: must be a JSON object"),
        ({"a": {**GOOGLE, "scopes": "email"}}, "OIDC_PROVIDERS a.scopes: must be a JSON list"),
        ({"a": {**GOOGLE, "link_verified": "si"}}, "OIDC_PROVIDERS a.link_verified: must be true"),
        ({"a": {**GOOGLE, "link_verfied": True}}, "OIDC_PROVIDERS a.link_verfied: does not exist"),
    ],
)
def test_message_is_about_json(
    monkeypatch: pytest.MonkeyPatch, providers: dict[str, Any], message: str
) -> None:
    assert find_faults(monkeypatch, providers).startswith(message)


TARGETS_REFUSED = [
    "http://app.example.com/signed-in",
    "javascript:alert(1)",
    "data:text/html,x",
    "file:///tmp/x",
    "app:/signed-in",
    "com.example.app:",
    "https://app.example.com/a?b",
    "https://app.example.com/a#b",
    "https://user@app.example.com/",
    "https://app.example.com\\a",
    "*",
    "https://",
    "",
]


@pytest.mark.parametrize("url", TARGETS_REFUSED)
def test_a_target_that_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    targets = json.dumps(["https://app.example.com/", url])
    faults = find_faults(monkeypatch, {"google": GOOGLE}, OIDC_REDIRECT_URLS=targets)
    assert faults.startswith("OIDC_REDIRECT_URLS")


@pytest.mark.parametrize("url", ["com.example.app:/signed-in", "com.example.app://host/a"])
def test_a_target_of_an_app(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    load(monkeypatch, {"google": GOOGLE}, OIDC_REDIRECT_URLS=json.dumps([url]))


def test_missing_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("API_ORIGIN")
    faults = find_faults(monkeypatch, {"google": GOOGLE}, OIDC_REDIRECT_URLS="[]")
    assert "API_ORIGIN is not set" in faults
    assert "OIDC_REDIRECT_URLS is empty" in faults


def test_the_origin_needs_https(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = find_faults(monkeypatch, {"google": GOOGLE}, API_ORIGIN="http://api.example.com")
    assert faults.startswith("API_ORIGIN")


def test_development_allows_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = {**GOOGLE, "issuer": "http://127.0.0.1:8080"}
    values = {"ENVIRONMENT": "development", "API_ORIGIN": "http://localhost:8000"}
    targets = '["http://localhost:3000/signed-in"]'
    load(monkeypatch, {"name": provider}, OIDC_REDIRECT_URLS=targets, **values)
    other = {**GOOGLE, "issuer": "http://192.168.0.1:8080"}
    assert "OIDC_PROVIDERS" in find_faults(monkeypatch, {"name": other})
