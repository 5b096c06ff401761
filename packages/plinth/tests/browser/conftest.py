"""Tests of the pages in a real browser, headless: `make test-browser`.

They need a separate process, because Playwright runs its own event loop. The browser is Debian's
`chromium`, or the program in CHROMIUM. `.screenshots/` has a screenshot of each page.
"""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from playwright.sync_api import Browser

from plinth.testing.databases import TestServices
from plinth.testing.people import CHEAP_HASH
from tests.support.browser import Watched, chromium, find_chromium
from tests.support.command import find_free_port, running, start_plinth

SUPERUSER, KEYHOLDER = "root@example.com", "helga@example.com"
NAMES = ("bob", "carla", "dmitri", "emre", "fatima", "grace")
A_MONTH = """
INSERT INTO events (id, at, event, outcome, subject_id, personal)
SELECT row_number() OVER (ORDER BY day, kind, n), day + n * interval '7 minutes',
    event, outcome, 2, ''
FROM generate_series(now() - interval '29 days', now() - interval '1 day', interval '1 day') AS day,
    (VALUES (1, 'user.registered', 'success', 7), (2, 'session.started', 'success', 31),
        (3, 'session.started', 'failure', 5)) AS kinds (kind, event, outcome, most),
    generate_series(1, 1 + (most * (extract(day FROM day)::int * 7 % 11)) / 10) AS n
"""


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Collect this folder only if the command line names it."""
    return None if any("tests/browser" in argument for argument in config.args) else True


@pytest.fixture(scope="session")
def origin(
    services: TestServices, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A running server with users in its database."""
    asyncio.run(_fill(database_url))
    port, log = find_free_port(), tmp_path_factory.mktemp("server") / "serve.log"
    settings = {
        "DATABASE_URL": database_url,
        "REDIS_URL": services.redis_url,
        "CACHE_PREFIX": f"test-{services.run}-browser",
        "SECRET_KEY": "zV4nQ8sKe1Wm7Tb2XcY9Lr5Hd0Jf3GpAu6iBoN-wRyM",
        "MAIL_WORKER": "false",
        "DATA_DIR": str(log.parent),
        "PASSKEY_ORIGINS": f'["http://localhost:{port}"]',
    }
    process = start_plinth("serve", "--port", str(port), log=log, **settings)
    with running(process, port, log):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def browser(origin: str) -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip("there is no chromium: apt-get install chromium, or set CHROMIUM")
    with chromium(program) as browser:
        yield browser


@pytest.fixture
def watched(browser: Browser, origin: str) -> Iterator[Watched]:
    """Open a page, and check afterwards for console errors and requests to other hosts."""
    watched = Watched(browser, origin)
    yield watched
    watched.close()
    watched.check()


async def _fill(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.executemany(
        "INSERT INTO users (email, username, full_name, hashed_password, is_superuser)"
        " VALUES ($1, $2, $3, $4, $5)",
        [
            (SUPERUSER, "root", "Root Superuser", CHEAP_HASH, True),
            (KEYHOLDER, "helga", None, CHEAP_HASH, True),
            ("ann@example.com", "ann", "Ann Other", CHEAP_HASH, False),
            *((f"{name}@example.com", name, None, CHEAP_HASH, False) for name in NAMES),
        ],
    )
    # The trigger sets the present time in each event; the plots need events of a month.
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(A_MONTH)
    await connection.close()
