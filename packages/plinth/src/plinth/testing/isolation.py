"""Keep the developer's settings, of `.env` and of the environment, out of the tests.

Import this before anything that reads a setting. `TEST_DATABASE_URL` and `TEST_REDIS_URL` still
name the servers of the tests, and `DATA_DIR` their folder.
"""

import os
import re
import sys
from pathlib import Path

from dotenv import dotenv_values

SERVERS = ("TEST_DATABASE_URL", "TEST_REDIS_URL")
KEPT_SETTINGS = {*SERVERS, "DATA_DIR"}
FOREIGN = re.compile("PG|OTEL_")  # libpq's, which the driver reads too, and OpenTelemetry's
SETTINGS = {
    "ENVIRONMENT": "development",
    "SECRET_KEY": "k8Qv2ZrT6mW0yHs4Jx1LpB9nDf3GcA7u-for-tests",
    # The cheapest argon2 there is, because tests sign in thousands of times.
    "ARGON2_MEMORY_KIB": "8",
    "ARGON2_TIME_COST": "1",
    "LOGIN_FAILURE_MS": "0",
    "PASSWORD_WAIT_MS": "60000",
    "LIMITS_ENABLED": "false",
    "MAIL_WORKER": "false",  # a test of mail starts one
    # A busy machine is no fault, so no test runs into these bounds by itself.
    "CACHE_TIMEOUT_MS": "5000",
    "DB_WAIT_TIMEOUT": "30",
    "DB_STATEMENT_TIMEOUT": "30",
    "DB_LOCK_TIMEOUT": "30",
}


def isolate() -> None:
    """Replace the settings of the environment with those of the tests.

    Raises:
        RuntimeError: the settings were read already.
    """
    if "plinth.config" in sys.modules:
        raise RuntimeError(
            "The settings were read before those of the tests were in place: import "
            "plinth.testing.isolation at the top of tests/conftest.py, before the application."
        )
    explained = _explained_names()
    for name in [*os.environ]:
        if name in explained - KEPT_SETTINGS or FOREIGN.match(name):
            del os.environ[name]
    for name, value in dotenv_values(".env").items():
        if name in SERVERS and value:
            os.environ.setdefault(name, value)
    os.environ.update(SETTINGS, PLINTH_ENV_FILE="")


def _explained_names() -> set[str]:
    """Return the settings that `.env.example` explains; importing their class would read them."""
    example = Path(".env.example")
    text = example.read_text(encoding="utf-8") if example.exists() else ""
    return set(re.findall(r"^#([A-Z0-9_]+)=", text, re.MULTILINE))


isolate()
