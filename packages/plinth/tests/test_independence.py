"""The suite sees neither the developer's .env nor the settings of their shell."""

import subprocess
import sys
from pathlib import Path

from plinth.config import Settings
from plinth.testing.databases import TestServices
from tests.support.environment import ROOT, bare_environment, python_path

# A developer's environment can have other servers, another mode, other limits, and nonsense.
HOSTILE = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": "short",
    "DATABASE_URL": "postgresql://nobody:wrong@127.0.0.1:1/nothing",
    "POSTGRES_HOST": "elsewhere.invalid",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "PROJECT_NAME": "Hostile",
    "API_V1_PREFIX": "/hostile",
    "LIMITS_ENABLED": "true",
    "LIMIT_REGISTER_IP": "1/1d",
    "PASSWORD_BLOCKLIST": "off",
    "LOGIN_FAILURE_MS": "60000",
    "MAX_PAGE_SIZE": "1",
    "MAX_BODY_SIZE": "1",
    "BACKEND_CORS_ORIGINS": '["https://hostile.example"]',
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "ERROR",
    "MAIL_FROM": "nonsense",
    "SMTP_HOST": "smtp.invalid",
    "METRICS_PORT": "1",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
}
LIBPQ = {"PGHOST": "elsewhere.invalid", "PGSSLMODE": "verify-full", "PGPASSWORD": "wrong"}
# One of each kind: settings, in-process requests, commands, a server, Alembic.
PART = [
    "packages/plinth/tests/core/test_config.py",
    "packages/plinth/tests/deploy/test_env_example.py",
    "packages/plinth/tests/api/test_register.py",
    "packages/plinth/tests/cli/test_superuser.py::test_created_superuser_can_sign_in_and_list_users",
    "packages/plinth/tests/e2e/test_guide.py",
]


def copy_checkout(folder: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-zco", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())


def test_suite_passes_with_a_hostile_env_file_and_environment(
    services: TestServices, tmp_path: Path
) -> None:
    copy_checkout(tmp_path)
    lines = [f"{name}='{value}'" for name, value in HOSTILE.items()]
    (tmp_path / ".env").write_text("\n".join(lines) + "\n")
    servers = {"TEST_DATABASE_URL": services.server_url, "TEST_REDIS_URL": services.redis_url}
    environment = bare_environment() | HOSTILE | LIBPQ | servers
    environment["PYTHONPATH"] = python_path(tmp_path)
    del environment["PLINTH_ENV_FILE"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *PART],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]


def test_the_hostile_names_are_settings() -> None:
    assert set(HOSTILE) <= set(Settings.model_fields)
