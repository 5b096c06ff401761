"""`plinth doctor`: reports of problems and their solutions."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from plinth.cli.doctor import Level, fine, machine, tables, values
from plinth.config import load_settings
from plinth.db.database import Database
from plinth.db.retention import TableSize
from plinth.request.cookies import HAS_QUADRATIC_PARSER
from plinth.testing.databases import TestServices, empty_database
from tests.support.command import plinth
from tests.support.environment import COMPLETE, FINE_KEY, run_python
from tests.support.hosted import POSTGRES, Hosted

AWAY = "postgresql://app@127.0.0.1:1/app"


def checks(environment: dict[str, str]) -> dict[str, tuple[str, str]]:
    answer = plinth("doctor", "--json", **environment)
    found = json.loads(answer.stdout)
    assert answer.returncode == (0 if found["healthy"] else 1)
    return {check["name"]: (check["level"], check["advice"]) for check in found["checks"]}


async def test_healthy_setup_has_no_broken_checks(
    environment: dict[str, str], database: Database
) -> None:
    found = checks(environment)
    assert not [name for name, (level, _) in found.items() if level == "broken"]
    assert {"database", "migrations", "Redis", "clock", "SECRET_KEY", "tables", "retention"} <= set(
        found
    )


def test_database_behind_is_reported_with_the_command(
    environment: dict[str, str], services: TestServices, worker_id: str
) -> None:
    with empty_database(services, f"{worker_id}_behind") as url:
        found = checks(environment | {"DATABASE_URL": url})
    level, advice = found["migrations"]
    assert level == "broken"
    assert "plinth db upgrade" in advice


def test_doctor_on_an_empty_database_logs_nothing(
    environment: dict[str, str], services: TestServices, worker_id: str
) -> None:
    """The findings report it. With SLOW_QUERY_MS=0, each statement would be a log line."""
    with empty_database(services, f"{worker_id}_behind") as url:
        answer = plinth("doctor", **environment | {"DATABASE_URL": url, "SLOW_QUERY_MS": "0"})
    assert answer.stderr == ""


def test_a_command_logs_readable_lines(tmp_path: Path) -> None:
    """Also in production, where the format of servers is JSON."""
    code = """
import structlog
from plinth.cli.connecting import set_up_logs
from plinth.db import queries
set_up_logs()
logger = structlog.stdlib.get_logger("app.x")
logger.warning("the file is large", size=7)
logger.info("the file is read")
queries.logger.warning("slow query", duration_ms=3.8)
"""
    answer = run_python(code, cwd=tmp_path, **COMPLETE, LOG_FORMAT="json")
    (line,) = answer.stderr.splitlines()
    assert re.fullmatch(r"[\d:]+ \[warning +\] the file is large +\[app.x\] size=7", line)


def test_unreachable_services_are_reported(environment: dict[str, str]) -> None:
    found = checks(environment | {"DATABASE_URL": AWAY, "REDIS_URL": "redis://127.0.0.1:1"})
    assert found["database"][0] == "broken"
    assert found["Redis"][0] != "fine"


def test_python_with_the_quadratic_cookie_parser_is_reported(environment: dict[str, str]) -> None:
    level, advice = checks(environment)["Python"]
    assert level == ("doubtful" if HAS_QUADRATIC_PARSER else "fine")
    assert ("3.12.6" in advice) == HAS_QUADRATIC_PARSER


def test_invalid_settings_are_a_finding_without_a_traceback() -> None:
    answer = plinth("doctor", ENVIRONMENT="production")
    assert answer.returncode == 1
    assert "SECRET_KEY" in answer.stdout or "DATABASE_URL" in answer.stdout
    assert "Traceback" not in answer.stderr


def test_data_dir_is_not_used_with_urls_from_parts() -> None:
    """Only the passwords are set, as in the `.env` of compose."""
    passwords = {"POSTGRES_PASSWORD": "one", "REDIS_PASSWORD": "two"}
    production = {"ENVIRONMENT": "production", "SECRET_KEY": FINE_KEY, "LIMITS_ENABLED": True}
    settings = load_settings(**production, **passwords)
    text = "not used, because PostgreSQL and Redis are configured"
    assert machine.check_data_dir(settings) == fine("DATA_DIR", text)


def test_help_and_version_work_with_invalid_settings() -> None:
    for option in ("--help", "--version"):
        assert plinth(option, ENVIRONMENT="production").returncode == 0
    broken = plinth("db", "upgrade", ENVIRONMENT="production")
    assert broken.returncode == 1
    assert broken.stderr.startswith("Plinth cannot start")


@pytest.mark.parametrize("hosted", POSTGRES, ids=lambda it: it.service)
def test_pooler_without_db_pgbouncer_is_reported(hosted: Hosted) -> None:
    if "{" in hosted.url:
        return  # with files; none of those is a pooler
    pooled = ("pooled", "Vercel", "transaction", "PgBouncer", "pool", "Fly, managed")
    given = {"DATABASE_URL": hosted.url}
    level = values.check_pooler(load_settings(**given)).level
    assert (level is Level.DOUBTFUL) == hosted.service.endswith(pooled)
    assert values.check_pooler(load_settings(**given, DB_PGBOUNCER=True)).level is Level.FINE


@pytest.mark.parametrize(
    ("networks", "level"),
    [
        (["0.0.0.0/1", "128.0.0.0/1"], Level.DOUBTFUL),
        (["10.0.0.0/8", "::/1"], Level.DOUBTFUL),
        (["10.0.0.0/8", "fd00::/8"], Level.FINE),
        ([], Level.FINE),
    ],
)
def test_too_wide_trusted_proxies_are_reported(networks: list[str], level: Level) -> None:
    settings = load_settings(TRUSTED_PROXIES=networks)
    assert values.check_proxies(settings).level is level


@pytest.mark.parametrize(
    ("rate", "level"),
    [("3/30m", Level.FINE), ("5/1d", Level.DOUBTFUL), ("3/31m", Level.DOUBTFUL)],
)
def test_reset_limit_that_locks_the_owner_out_is_reported(rate: str, level: Level) -> None:
    settings = load_settings(LIMIT_FORGOT_ACCOUNT=rate, PASSWORD_RESET_MINUTES=30)
    assert values.check_reset_limit(settings).level is level


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SMTP_USER", "SMTP_USERNAME"),
        ("ALLOWED_HOST", "ALLOWED_HOSTS"),
        ("smtp_host", "SMTP_HOST"),
        ("SHOP_LIMIT", None),
        ("SMTP", None),
    ],
)
def test_misspelled_setting_is_reported(name: str, meant: str | None) -> None:
    finding = values.check_names(load_settings(**{name: "x"}))
    assert finding.level is (Level.DOUBTFUL if meant else Level.FINE)
    assert f"{name} (for {meant}?)" in finding.text or meant is None


GIB = 1024**3


@pytest.mark.parametrize(
    ("table", "rows", "size", "days", "level", "advice"),
    [
        ("events", 9_999_999, GIB, 0, Level.FINE, ""),
        ("events", 10_000_000, GIB, 0, Level.DOUBTFUL, "Set EVENT_KEEP_DAYS"),
        ("events", 0, 10 * GIB, 0, Level.DOUBTFUL, "Set EVENT_KEEP_DAYS"),
        ("events", 10_000_000, GIB, 30, Level.FINE, ""),
        ("sessions", 10_000_000, GIB, 0, Level.DOUBTFUL, "lower SESSION_KEEP_DAYS"),
    ],
)
def test_large_table_is_reported(
    table: str, rows: int, size: int, days: int, level: Level, advice: str
) -> None:
    facts = tables.Facts([TableSize(table, rows, size // 2, size // 2)], None)
    found = tables.check_sizes(facts, load_settings(EVENT_KEEP_DAYS=days))
    assert (found.level, advice in found.advice) == (level, True)
    assert f"{table} has about {rows:,} rows, " in found.text


@pytest.mark.parametrize(
    ("age", "days", "level"),
    [(400, 0, Level.FINE), (31.5, 30, Level.FINE), (32.5, 30, Level.DOUBTFUL)],
)
def test_overdue_events_are_reported(age: float, days: int, level: Level) -> None:
    oldest = datetime.now(UTC) - timedelta(days=age)
    facts = tables.Facts([], oldest)
    found = tables.check_events(facts, load_settings(EVENT_KEEP_DAYS=days))
    assert found.level == level


def test_sizes_have_units() -> None:
    sizes = [1, 2048, 3 * 1024**2, 4 * GIB, 5000 * GIB]
    shown = [tables.show_bytes(size) for size in sizes]
    assert shown == ["1 B", "2 kB", "3 MB", "4.0 GB", "5000.0 GB"]
