"""`RP_ID` and `PASSKEY_ORIGINS`: derived, or checked at start."""

from typing import Any

import pytest

from plinth.config import Settings, SettingsError, load_settings
from tests.support.environment import COMPLETE


def load(**settings: Any) -> Settings:
    return load_settings(**{**COMPLETE, "LIMITS_ENABLED": True, **settings})


def test_development_has_the_local_pages() -> None:
    settings = load_settings(ENVIRONMENT="development")
    assert settings.RP_ID == "localhost"
    assert sorted(settings.PASSKEY_ORIGINS) == ["http://localhost:3000", "http://localhost:8000"]


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("https://APP.example.com:443/shop", "https://app.example.com"),
        ("https://app.example.com:8443", "https://app.example.com:8443"),
    ],
)
def test_origin_is_derived_from_the_url_of_the_pages(url: str, origin: str) -> None:
    settings = load(FRONTEND_URL=url, BACKEND_CORS_ORIGINS=["https://other.example.com"])
    assert ("app.example.com", [origin]) == (settings.RP_ID, settings.PASSKEY_ORIGINS)


@pytest.mark.parametrize(
    ("rp_id", "origins"),
    [
        ("", ["https://app.example.com"]),
        ("example.com", ["https://app.example.com", "https://example.com"]),
        ("localhost", ["http://localhost:3000"]),
    ],
)
def test_a_valid_pair_is_accepted(rp_id: str, origins: list[str]) -> None:
    settings = load(RP_ID=rp_id, PASSKEY_ORIGINS=origins)
    assert origins == settings.PASSKEY_ORIGINS


@pytest.mark.parametrize(
    ("rp_id", "origins"),
    [
        ("", ["https://app.example.com", "https://example.com"]),
        ("example.com", ["https://example.com", "https://example.org"]),
        ("example.com", ["https://badexample.com"]),
        ("example.com", ["http://example.com"]),
        ("example.com", ["*"]),
        ("com", ["https://example.com"]),
        ("github.io", ["https://me.github.io"]),
        ("192.0.2.1", ["https://192.0.2.1"]),
        ("app.example.com", ["https://example.com"]),
        ("example.com", []),
    ],
)
def test_a_pair_that_browsers_refuse_is_refused(rp_id: str, origins: list[str]) -> None:
    with pytest.raises(SettingsError, match="PASSKEY_ORIGINS: "):
        load(RP_ID=rp_id, PASSKEY_ORIGINS=origins, FRONTEND_URL="https://shop.example.net")
