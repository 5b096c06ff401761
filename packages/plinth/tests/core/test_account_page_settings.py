"""`FRONTEND_URL`: the account page, if there are no other pages."""

from typing import Any

import pytest

from plinth.config import SettingsError, load_settings
from tests.support.environment import COMPLETE

MAIL = {"SMTP_HOST": "mail.internal", "MAIL_FROM": "a@example.com", "LIMITS_ENABLED": True}


def test_links_lead_to_the_account_page_in_development() -> None:
    settings = load_settings(AUTH_COOKIES=True, API_ORIGIN="http://localhost:8001")
    assert settings.FRONTEND_URL == "http://localhost:8001/account"
    assert "http://localhost:8001" in settings.PASSKEY_ORIGINS
    assert settings.RP_ID == "localhost"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "http://localhost:3000"),
        ({"AUTH_COOKIES": True, "ACCOUNT_PAGE": False}, "http://localhost:3000"),
        ({"AUTH_COOKIES": True, "FRONTEND_URL": "http://localhost:5173"}, "http://localhost:5173"),
        ({"AUTH_COOKIES": True, "ROOT_PATH": "/shop"}, "http://localhost:8000/shop/account"),
    ],
)
def test_links_lead_to_the_pages_of_the_team(values: dict[str, Any], expected: str) -> None:
    assert expected == load_settings(**values).FRONTEND_URL


def test_links_lead_to_the_account_page_in_production() -> None:
    settings = load_settings(
        **COMPLETE, **MAIL, AUTH_COOKIES=True, API_ORIGIN="https://example.com"
    )
    assert settings.FRONTEND_URL == "https://example.com/account"
    assert settings.PASSKEY_ORIGINS == ["https://example.com"]


@pytest.mark.parametrize("cookies", [True, False])
def test_links_need_an_origin_in_production(*, cookies: bool) -> None:
    with pytest.raises(SettingsError, match="FRONTEND_URL is not set, but mails need it"):
        load_settings(**COMPLETE, **MAIL, AUTH_COOKIES=cookies)


def test_passkeys_are_valid_on_the_port_of_the_api_in_development() -> None:
    settings = load_settings(API_ORIGIN="http://localhost:8001")
    assert "http://localhost:8001" in settings.PASSKEY_ORIGINS
    settings = load_settings(
        API_ORIGIN="http://localhost:8001", PASSKEY_ORIGINS=["http://localhost:3000"]
    )
    assert settings.PASSKEY_ORIGINS == ["http://localhost:3000"]
