"""The fixtures of `plinth.testing.plugin`, and further ones for commands and mail."""

import os

import plinth.testing.isolation  # noqa: F401 - before anything that reads a setting

# isort: split
os.environ["PASSWORD_BLOCKLIST"] = "refuse"  # as in production; development has separate tests

from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis

from plinth.accounts.services.mail_worker import mail_worker
from plinth.config import settings
from plinth.db.database import Database
from plinth.testing.databases import TestServices
from tests.support.mail_server import Inbox, serving_mail

pytest_plugins = ["plinth.testing.plugin"]

# The time of an example depends on the load of the machine. Only tests/faults measures time.
hypothesis.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis.load_profile("suite")


@pytest.fixture
async def inbox(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inbox]:
    """A mail server on loopback, and a worker that sends to it."""
    with serving_mail() as inbox:
        monkeypatch.setattr(settings, "SMTP_HOST", "127.0.0.1")
        monkeypatch.setattr(settings, "SMTP_PORT", inbox.port)
        monkeypatch.setattr(settings, "SMTP_TLS", "none")
        monkeypatch.setattr(settings, "MAIL_POLL_SECONDS", 0.05)
        monkeypatch.setattr(settings, "MAIL_RETRY_SECONDS", 0.01)
        async with mail_worker(database):
            yield inbox


@pytest.fixture(scope="session")
def environment(services: TestServices, database_url: str, worker_id: str) -> dict[str, str]:
    """The settings of a command that uses the database of this pytest worker."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": services.redis_url,
        "CACHE_PREFIX": f"test-{services.run}-{worker_id}",
        "SECRET_KEY": "zV4nQ8sKe1Wm7Tb2XcY9Lr5Hd0Jf3GpAu6iBoN-wRyM",
        "ARGON2_MEMORY_KIB": "8",
        "ARGON2_TIME_COST": "1",
        "CACHE_TIMEOUT_MS": "5000",  # for a process that starts on a busy machine
    }
