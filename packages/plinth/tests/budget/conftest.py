"""Cost limits of a request, on a server with production settings: `make test-budget`."""

import asyncio
from collections.abc import Iterator, Mapping

import pytest

from bench.plan import QUICK
from bench.running import Running, running
from bench.seed import seed
from bench.stage import Stage
from bench.targets import BARE, EVERYTHING, OURS, make_bare, make_ours
from plinth.config import settings
from plinth.testing.databases import TestServices, cloned_database
from tests.budget.keys import add_keys
from tests.support.measured import measured, pytest_terminal_summary

__all__ = ["measured", "pytest_terminal_summary"]

USERS = 2000


@pytest.fixture(scope="session")
def stage(
    services: TestServices, worker_id: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("budget")
    given = {
        "REDIS_URL": services.redis_url,
        "SECRET_KEY": settings.SECRET_KEY,
        "DATA_DIR": str(folder),
        "AUTH_COOKIES": "true",
        "LIMITS_ENABLED": "true",  # the suite disables them, which production does not allow
    }
    with cloned_database(services, f"budget_{worker_id}") as url:
        people = asyncio.run(seed(url, USERS))
        asyncio.run(add_keys(url, people))
        yield Stage(QUICK, people, USERS, url, 0, folder, given)


@pytest.fixture(scope="session")
def servers(stage: Stage) -> Iterator[Mapping[str, Running]]:
    """The application and the reference."""
    with (
        running(make_ours(EVERYTHING), stage) as ours,
        running(make_bare(BARE, EVERYTHING), stage) as bare,
    ):
        yield {OURS: ours, BARE: bare}
