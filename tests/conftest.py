"""A real PostgreSQL and a real Redis-protocol server for the suite: embedded ones in
`DATA_DIR/test`, or those of TEST_DATABASE_URL and TEST_REDIS_URL.

Each worker has a database of its own, cloned from a template that the migrations made. Tests commit
for real, so that what they see is what another connection sees; after each the rows are removed.
"""

import os

import tests.support.isolation  # noqa: F401 - before anything that reads a setting

# isort: split
# Before anything of app is imported: settings are read at import.
os.environ |= {
    "ENVIRONMENT": "development",
    "SECRET_KEY": "k8Qv2ZrT6mW0yHs4Jx1LpB9nDf3GcA7u-for-tests",
    # The CHEAPEST argon2 there is, only for testing: the suite signs in a thousand times.
    "ARGON2_MEMORY_KIB": "8",
    "ARGON2_TIME_COST": "1",
    "LOGIN_FAILURE_MS": "0",
    "PASSWORD_BLOCKLIST": "refuse",  # as in production; development's own value has its own tests
    "PASSWORD_WAIT_MS": "60000",
    "LIMITS_ENABLED": "false",
    "MAIL_WORKER": "false",  # who tests mail starts one
    # A busy machine is no fault: what is tested of these bounds, is tested by figures of its own.
    "CACHE_TIMEOUT_MS": "5000",
    "DB_WAIT_TIMEOUT": "30",
    "DB_STATEMENT_TIMEOUT": "30",
    "DB_LOCK_TIMEOUT": "30",
}

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.api.deps import Resources
from plinth.core.cache import clear_cache_pattern
from plinth.core.config import settings
from plinth.core.database import Database
from plinth.services.mail_worker import mail_worker
from tests.support.application import create_app, lifespan
from tests.support.databases import TestServices, cloned_database, test_services
from tests.support.documented import check_documented
from tests.support.mail_server import Inbox, serving_mail
from tests.support.people import People
from tests.support.rows import Rows

# How long an example takes says how busy the machine is. No test outside tests/faults is timed.
hypothesis.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis.load_profile("suite")

UNGUARDED = "SET LOCAL session_replication_role = replica"  # events refuse to go
# TRUNCATE makes new files for every table and index: several times what most tests take.
EMPTY_ALL = """
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    LOOP
        EXECUTE format('DELETE FROM %I', name);
    END LOOP;
END
$$
"""


def pytest_xdist_auto_num_workers() -> int:
    """A third of the time tests wait, for servers and for processes that they start."""
    cores = os.cpu_count() or 1
    return cores + cores // 2


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}  # the loop that `plinth serve` runs on


@pytest.fixture(scope="session")
def services() -> Iterator[TestServices]:
    with test_services() as running:
        yield running


@pytest.fixture(scope="session")
def database_url(services: TestServices, worker_id: str) -> Iterator[str]:
    """This worker's own database, at the newest migration."""
    with cloned_database(services, worker_id) as url:
        yield url


@pytest.fixture(scope="session")
async def app(services: TestServices, database_url: str, worker_id: str) -> AsyncIterator[FastAPI]:
    settings.DATABASE_URL = database_url
    settings.REDIS_URL = services.redis_url
    settings.CACHE_PREFIX = f"test-{services.run}-{worker_id}"
    app = create_app()
    async with lifespan(app):
        yield app


@pytest.fixture(scope="session")
def resources(app: FastAPI) -> Resources:
    found: Resources = app.state.resources
    return found


async def empty(database: Database) -> None:
    async with database.transaction() as db:
        connection = await db.connection()
        await connection.exec_driver_sql(UNGUARDED)
        await connection.exec_driver_sql(EMPTY_ALL)
    await clear_cache_pattern("*")


@pytest.fixture
async def database(resources: Resources) -> AsyncIterator[Database]:
    """The application's own database, found and left empty: a command that a test ran in a process
    may have left something."""
    await empty(resources.database)
    yield resources.database
    await empty(resources.database)


@pytest.fixture
async def db(database: Database) -> AsyncIterator[AsyncSession]:
    """A session whose work is committed after the test; commit by hand to let others see it."""
    async with database.transaction() as session:
        yield session


@pytest.fixture
async def second(database_url: str, database: Database) -> AsyncIterator[asyncpg.Connection]:
    """Another connection, which sees what is committed and nothing else."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def client(app: FastAPI, database: Database) -> AsyncIterator[AsyncClient]:
    """Every answer is held against the OpenAPI document."""
    async with AsyncClient(
        transport=ASGITransport(app, raise_app_exceptions=False),
        base_url="http://test/api/v1",
        event_hooks={"response": [check_documented(app)]},
    ) as client:
        yield client


@pytest.fixture
def people(client: AsyncClient, second: asyncpg.Connection) -> People:
    """Makes users and signs them in."""
    return People(client, second)


@pytest.fixture
def rows(second: asyncpg.Connection) -> Rows:
    """Makes rows of any table."""
    return Rows(second)


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
    """The settings of a command that works on this worker's database, beside the application."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": services.redis_url,
        "CACHE_PREFIX": f"test-{services.run}-{worker_id}",
        "SECRET_KEY": "zV4nQ8sKe1Wm7Tb2XcY9Lr5Hd0Jf3GpAu6iBoN-wRyM",
        "ARGON2_MEMORY_KIB": "8",
        "ARGON2_TIME_COST": "1",
        "CACHE_TIMEOUT_MS": "5000",  # a process that has just started on a busy machine
    }
