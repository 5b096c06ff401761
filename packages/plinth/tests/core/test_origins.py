"""BACKEND_CORS_ORIGINS accepts only values that a browser sends as Origin."""

from pathlib import Path

import pytest

from plinth.config import Settings, SettingsError, load_settings
from tests.support.environment import COMPLETE


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com",
        "http://localhost:3000",
        "http://127.0.0.1:8080",
        "http://[::1]:5173",
        "https://app.example.com:8443",
        "https://xn--bcher-kva.example",
        "http://app.example.com:443",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "capacitor://localhost",
    ],
)
def test_valid_origin_is_accepted(origin: str) -> None:
    settings = load_settings(**COMPLETE, BACKEND_CORS_ORIGINS=[origin])
    assert [origin] == settings.BACKEND_CORS_ORIGINS


@pytest.mark.parametrize(
    ("origin", "advice"),
    [
        ("https://app.example.com/", "write https://app.example.com"),
        ("https://app.example.com/login?next=/#top", "write https://app.example.com"),
        ("https://APP.Example.com", "write https://app.example.com"),
        ("HTTPS://app.example.com", "write https://app.example.com"),
        ("https://app.example.com:443", "write https://app.example.com"),
        ("http://app.example.com:80", "write http://app.example.com"),
        ("http://localhost:03000", "write http://localhost:3000"),
        ("https://*.example.com", "list each of them"),
        ("*.example.com", "list each of them"),
        ("http://localhost:*", "list each of them"),
        ("null", "list your own origins"),
        ("app.example.com", "write scheme://host"),
        ("localhost:3000", "write scheme://host"),
        ("//app.example.com", "write scheme://host"),
        ("https://", "write scheme://host"),
        ("https://app.example.com:99999", "write scheme://host"),
        ("https://app.example.com:0", "write scheme://host"),
        ("https://user:secret@app.example.com", "write scheme://host"),
        (" https://app.example.com", "write scheme://host"),
        ("https://a.example.com,https://b.example.com", "write scheme://host"),
        ("https://bücher.example", "punycode"),
        ("", "write scheme://host"),
    ],
)
@pytest.mark.parametrize("environment", ["development", "production"])
def test_invalid_origin_is_refused_with_the_correct_form(
    origin: str, advice: str, environment: str
) -> None:
    given = COMPLETE | {"ENVIRONMENT": environment}
    with pytest.raises(SettingsError, match=r"BACKEND_CORS_ORIGINS item 2: ") as refused:
        load_settings(**given, BACKEND_CORS_ORIGINS=["https://fine.example.com", origin])
    (fault,) = refused.value.faults
    assert fault.endswith(advice) or advice in fault
    assert "secret" not in fault


def test_wildcard_origin_is_accepted_only_in_development() -> None:
    assert load_settings(BACKEND_CORS_ORIGINS=["*"]).BACKEND_CORS_ORIGINS == ["*"]
    for origins in (["*"], ["https://app.example.com", "*"]):
        with pytest.raises(SettingsError, match="BACKEND_CORS_ORIGINS"):
            load_settings(**COMPLETE, BACKEND_CORS_ORIGINS=origins)


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_no_origin_is_allowed_by_default_outside_development(environment: str) -> None:
    assert load_settings(**COMPLETE | {"ENVIRONMENT": environment}).BACKEND_CORS_ORIGINS == []
    named = load_settings(**COMPLETE, BACKEND_CORS_ORIGINS=["http://localhost:3000"])
    assert named.BACKEND_CORS_ORIGINS == ["http://localhost:3000"]


def test_any_origin_is_refused_with_cookies_in_development() -> None:
    assert load_settings(BACKEND_CORS_ORIGINS=["*"]).BACKEND_CORS_ORIGINS == ["*"]
    with pytest.raises(SettingsError, match="with AUTH_COOKIES=true lets every website"):
        load_settings(BACKEND_CORS_ORIGINS=["*"], AUTH_COOKIES=True)
