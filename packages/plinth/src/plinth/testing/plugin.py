"""A pytest plugin: the application on a real PostgreSQL and a real Redis-protocol server.

They are embedded ones in `DATA_DIR/test`, or those of TEST_DATABASE_URL and TEST_REDIS_URL. Each
worker has a database of its own, cloned from a template that the migrations made. Tests commit for
real, so that what they see is what another connection sees; after each test the rows are removed.
"""

import os

import plinth.testing.isolation  # noqa: F401 - before anything that reads a setting

# isort: split
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.deps import Resources
from plinth.cache import clear_cache_pattern
from plinth.cli.application import load_application
from plinth.config import settings
from plinth.db.database import Database
from plinth.testing.databases import TestServices, cloned_database, test_services
from plinth.testing.documented import check_documented
from plinth.testing.operations import find_operations
from plinth.testing.people import People
from plinth.testing.rows import Rows
from plinth.testing.scene import Scene, make_scene
from plinth.testing.statements import recorded_statements

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


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "no_cover: run without coverage (pytest-cov)")


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
    """The application that `PLINTH_APP` or `pyproject.toml` names, started."""
    settings.DATABASE_URL = database_url
    settings.REDIS_URL = services.redis_url
    settings.CACHE_PREFIX = f"test-{services.run}-{worker_id}"
    app = load_application()
    async with app.router.lifespan_context(app):
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
    """A client whose responses must have a status that the OpenAPI document knows."""
    async with AsyncClient(
        transport=ASGITransport(app, raise_app_exceptions=False),
        base_url=f"http://test{settings.API_V1_PREFIX}",
        event_hooks={"response": [check_documented(app)]},
    ) as client:
        yield client


@pytest.fixture
def people(client: AsyncClient, second: asyncpg.Connection, database: Database) -> People:
    """Makes users and signs them in."""
    return People(client, second, database)


@pytest.fixture
def rows(second: asyncpg.Connection) -> Rows:
    """Makes rows of any table."""
    return Rows(second)


@pytest.fixture
def statements(database: Database) -> Iterator[list[str]]:
    """The SQL that is sent to the database, as it is sent."""
    with recorded_statements(database) as sent:
        yield sent


@pytest.fixture
async def scene(client: AsyncClient, people: People, second: asyncpg.Connection) -> Scene:
    """A user who owns something of each kind, for the contract suite; a test may name more."""
    return await make_scene(client, people, second, find_operations())
