"""A pytest plugin that runs the application on a real PostgreSQL and a Redis-protocol server.

The servers are embedded ones in `DATA_DIR/test`, or those of TEST_DATABASE_URL and TEST_REDIS_URL.
Each xdist worker has its own database, cloned from a migrated template. Tests commit, so another
connection sees their rows. All rows are deleted after each test.
"""

import os

import plinth.testing.isolation  # noqa: F401 - must precede every import that reads a setting

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
from plinth.testing.answers import check_documented
from plinth.testing.databases import (
    TestServices,
    as_application,
    cloned_database,
    recorded_statements,
    test_services,
)
from plinth.testing.operations import find_operations
from plinth.testing.people import People
from plinth.testing.rows import Rows
from plinth.testing.scene import Scene, make_scene

AS_SUPERUSER = "SET LOCAL ROLE NONE"
DISABLE_TRIGGERS = "SET LOCAL session_replication_role = replica"  # one forbids to delete events
# TRUNCATE creates new files for each table and index, which takes longer than most tests.
DELETE_ALL_ROWS = """
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
    """Use more workers than cores: tests spend a third of the time waiting for servers."""
    cores = os.cpu_count() or 1
    return cores + cores // 2


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}  # the event loop of `plinth serve`


@pytest.fixture(scope="session")
def services() -> Iterator[TestServices]:
    with test_services() as running:
        yield running


@pytest.fixture(scope="session")
def database_url(services: TestServices, worker_id: str) -> Iterator[str]:
    """The URL of the worker's own database, at the newest migration, for a superuser."""
    with cloned_database(services, worker_id) as url:
        yield url


@pytest.fixture(scope="session")
async def app(services: TestServices, database_url: str, worker_id: str) -> AsyncIterator[FastAPI]:
    """The started application that `PLINTH_APP` or `pyproject.toml` names.

    As in production, its role cannot change the schema, and policies of tables apply to it.
    """
    settings.DATABASE_URL = as_application(database_url)
    settings.REDIS_URL = services.redis_url
    settings.CACHE_PREFIX = f"test-{services.run}-{worker_id}"
    app = load_application()
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture(scope="session")
def resources(app: FastAPI) -> Resources:
    resources: Resources = app.state.resources
    return resources


async def delete_all_rows(database: Database) -> None:
    async with database.transaction() as db:
        connection = await db.connection()
        await connection.exec_driver_sql(AS_SUPERUSER)
        await connection.exec_driver_sql(DISABLE_TRIGGERS)
        await connection.exec_driver_sql(DELETE_ALL_ROWS)
    await clear_cache_pattern("*")


@pytest.fixture
async def database(resources: Resources) -> AsyncIterator[Database]:
    """The application's database, empty before and after the test.

    It is emptied before as well, since a subprocess of an earlier test may have left rows.
    """
    await delete_all_rows(resources.database)
    yield resources.database
    await resources.key_usage.close()  # a later statement would count in another test
    await delete_all_rows(resources.database)


@pytest.fixture
async def db(database: Database) -> AsyncIterator[AsyncSession]:
    """A session that commits after the test. Commit earlier to show rows to other connections."""
    async with database.transaction() as session:
        yield session


@pytest.fixture
async def second(database_url: str, database: Database) -> AsyncIterator[asyncpg.Connection]:
    """Another connection, which sees only committed rows."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def client(app: FastAPI, database: Database) -> AsyncIterator[AsyncClient]:
    """A client of the application. A response that the OpenAPI document lacks fails the test."""
    async with AsyncClient(
        transport=ASGITransport(app, raise_app_exceptions=False),
        base_url=f"http://test{settings.API_V1_PREFIX}",
        event_hooks={"response": [check_documented(app)]},
    ) as client:
        yield client


@pytest.fixture
def people(client: AsyncClient, second: asyncpg.Connection, database: Database) -> People:
    """A factory of users."""
    return People(client, second, database)


@pytest.fixture
def rows(second: asyncpg.Connection) -> Rows:
    """A factory of rows of any table."""
    return Rows(second)


@pytest.fixture
def statements(database: Database) -> Iterator[list[str]]:
    """The SQL statements sent to the database so far."""
    with recorded_statements(database) as sent:
        yield sent


@pytest.fixture
async def scene(client: AsyncClient, people: People, second: asyncpg.Connection) -> Scene:
    """The rows that the contract suite calls routes with. Extend it in `tests/conftest.py`."""
    return await make_scene(client, people, second, find_operations())
