"""These tests are part of every started project, so they run with its settings."""

import pytest

from plinth.config import settings


@pytest.fixture(autouse=True)
def common_passwords_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in development."""
    monkeypatch.setattr(settings, "PASSWORD_BLOCKLIST", "warn")
