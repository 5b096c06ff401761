"""The pages in a real browser, headless: `make test-browser`, and not with the other tests.

It is Debian's `chromium`, or the one that CHROMIUM names. Every page's picture lands in
`.screenshots/`, for people to look at.
"""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from playwright.sync_api import Browser

from tests.support.browser import Watched, chromium, find_chromium
from tests.support.command import PATIENCE, find_free_port, start_plinth, wait_for_health
from tests.support.databases import TestServices
from tests.support.people import CHEAP_HASH

SUPERUSER = "root@example.com"


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Only where it is asked for by name."""
    return None if any("tests/browser" in argument for argument in config.args) else True


@pytest.fixture(scope="session")
def origin(
    services: TestServices, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A running server, with people in its database."""
    asyncio.run(_fill(database_url))
    port, log = find_free_port(), tmp_path_factory.mktemp("server") / "serve.log"
    settings = {
        "DATABASE_URL": database_url,
        "REDIS_URL": services.redis_url,
        "CACHE_PREFIX": f"test-{services.run}-browser",
        "SECRET_KEY": "zV4nQ8sKe1Wm7Tb2XcY9Lr5Hd0Jf3GpAu6iBoN-wRyM",
        "MAIL_WORKER": "false",
        "DATA_DIR": str(log.parent),
    }
    process = start_plinth("serve", "--port", str(port), log=log, **settings)
    try:
        wait_for_health(f"http://127.0.0.1:{port}/api/v1/health")
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert "Traceback" not in Path(log).read_text()


@pytest.fixture(scope="session")
def browser(origin: str) -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip("there is no chromium: apt-get install chromium, or set CHROMIUM")
    with chromium(program) as browser:
        yield browser


@pytest.fixture
def watched(browser: Browser, origin: str) -> Iterator[Watched]:
    """A page of its own; afterwards nothing was complained of, and nobody else was asked."""
    watched = Watched(browser, origin)
    yield watched
    watched.close()
    watched.check()


async def _fill(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "INSERT INTO users (email, username, full_name, hashed_password, is_superuser, is_verified)"
        " VALUES ($1, 'root', 'Root Superuser', $2, true, true)",
        SUPERUSER,
        CHEAP_HASH,
    )
    await connection.close()
