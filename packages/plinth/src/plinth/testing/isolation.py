"""Replace the settings of the developer's `.env` and environment with those of the tests.

Import this before any module that reads a setting. `TEST_DATABASE_URL`, `TEST_REDIS_URL` and
`DATA_DIR` keep their values.
"""

import os
import re
import sys
from pathlib import Path

from dotenv import dotenv_values

SERVERS = ("TEST_DATABASE_URL", "TEST_REDIS_URL")
KEPT_SETTINGS = {*SERVERS, "DATA_DIR"}
FOREIGN = re.compile("PG|OTEL_")  # variables of libpq, which the driver reads, and OpenTelemetry
SETTINGS = {
    "ENVIRONMENT": "development",
    "SECRET_KEY": "k8Qv2ZrT6mW0yHs4Jx1LpB9nDf3GcA7u-for-tests",
    # The cheapest argon2 parameters, because tests sign in thousands of times.
    "ARGON2_MEMORY_KIB": "8",
    "ARGON2_TIME_COST": "1",
    "LOGIN_FAILURE_MS": "0",
    "PASSWORD_WAIT_MS": "60000",
    "LIMITS_ENABLED": "false",
    "EMAIL_CODES": "true",  # so that the contract suite calls their routes
    "MAIL_WORKER": "false",  # tests of mails start their own
    # Long timeouts, so that tests do not fail on a busy machine.
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
            "plinth.config was imported before plinth.testing.isolation, so the tests would use "
            "your own settings. Import plinth.testing.isolation first in tests/conftest.py."
        )
    replaced = _read_setting_names() - KEPT_SETTINGS
    for name in [*os.environ]:
        if name in replaced or FOREIGN.match(name):
            del os.environ[name]
    for name, value in dotenv_values(".env").items():
        if name in SERVERS and value:
            os.environ.setdefault(name, value)
    os.environ.update(SETTINGS, PLINTH_ENV_FILE="")


def _read_setting_names() -> set[str]:
    """Return the settings in `.env.example`. Importing the settings class would read them."""
    example = Path(".env.example")
    text = example.read_text(encoding="utf-8") if example.exists() else ""
    return set(re.findall(r"^#([A-Z0-9_]+)=", text, re.MULTILINE))


isolate()
