"""Invalid values of every setting, of ten kinds each.

Start-up and `plinth doctor` report all of them at once, in one sentence each, without a traceback.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from plinth.config import Settings, SettingsError, load_settings
from tests.support.environment import COMPLETE, ROOT, bare_environment
from tests.support.wrong_settings import KINDS, URLS, is_part, wrong_values

NAMES = list(Settings.model_fields)
FINE = COMPLETE | {
    "MAIL_FROM": "no-reply@example.com",
    "FRONTEND_URL": "https://app.example.com",
    "SMTP_HOST": "mail.example.com",  # so that its other settings are required
}
PROGRAMS = {
    "serve": ["-m", "plinth.cli", "serve", "--port=0"],
    "upgrade": ["-m", "plinth.cli", "db", "upgrade"],
    "uvicorn": ["-m", "uvicorn", "app.main:app", "--port=0"],
    "alembic": ["-m", "alembic", "-c", str(ROOT / "alembic.ini"), "current"],
    "import": ["-c", "from plinth.config import settings"],
}


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(Settings.model_config, "env_file", ".env")


def find_faults(environment: Mapping[str, str]) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            load_settings()
        except SettingsError as error:
            return list(error.faults)
    return []


def run(
    program: list[str], environment: Mapping[str, str], cwd: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *program],
        cwd=cwd,
        env=bare_environment() | dict(environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def all_wrong(kind: int) -> dict[str, str]:
    """Return every setting with its invalid value of that kind: either URLs or their parts."""
    names = [name for name in NAMES if not (name in URLS if kind % 2 else is_part(name))]
    return {name: wrong_values(name)[kind] for name in names}


def test_valid_settings_have_no_faults() -> None:
    assert find_faults(FINE) == []


@pytest.mark.parametrize("name", NAMES)
def test_invalid_value_gets_one_sentence_with_the_setting(name: str) -> None:
    fine = {it: value for it, value in FINE.items() if not (is_part(name) and it in URLS)}
    values = wrong_values(name)
    assert len(values) >= KINDS
    for value in values:
        faults = find_faults(fine | {name: value})
        named = [fault for fault in faults if fault.startswith(name)]
        assert len(named) == 1, f"{value!r}: give {name} a type of plinth/config/types.py"
        if is_part(name):
            faults = [fault for fault in faults if "_URL is not set" not in fault]
        assert faults == named
        assert "hush" not in named[0]
        assert "\n" not in named[0]


@pytest.mark.parametrize("kind", range(KINDS))
def test_all_invalid_values_are_reported_at_once(kind: int) -> None:
    wrong = all_wrong(kind)
    faults = find_faults(wrong)
    unnamed = [name for name in wrong if not any(fault.startswith(name) for fault in faults)]
    assert unnamed == []
    assert len(faults) <= len(wrong) + len(URLS)


@pytest.mark.parametrize("kind", [0, 1])
def test_doctor_reports_the_same_faults(kind: int, tmp_path: Path) -> None:
    wrong = all_wrong(kind)
    ended = run(["-m", "plinth.cli", "doctor", "--json"], wrong, tmp_path)
    found = json.loads(ended.stdout)
    assert [check["text"] for check in found["checks"]] == find_faults(wrong)
    assert {check["name"] for check in found["checks"]} == {"settings"}
    assert (ended.returncode, ended.stderr) == (1, "")


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_exits_with_all_faults(program: str, tmp_path: Path) -> None:
    wrong = all_wrong(0)
    ended = run(PROGRAMS[program], wrong, tmp_path)
    expected = ["Plinth cannot start:", *(f"  {fault}" for fault in find_faults(wrong))]
    assert ended.stderr.splitlines() == expected
    assert (ended.returncode, ended.stdout) == (1, "")


def test_every_number_has_bounds() -> None:
    """Otherwise a value that is too large would cause an overflow in a request."""
    unbound = [
        name
        for name, field in Settings.model_json_schema(mode="serialization")["properties"].items()
        for schema in field.get("anyOf", [field])
        if schema.get("type") in ("integer", "number")
        and not ("maximum" in schema and "minimum" in schema)
    ]
    assert unbound == [], "take a type of plinth/config/types.py"


MISSING = ["SECRET_KEY", "DATABASE_URL", "REDIS_URL"]


def test_all_missing_values_are_reported_at_once() -> None:
    faults = find_faults(
        {
            "ENVIRONMENT": "production",
            "SMTP_HOST": "mail.example.com",
            "BACKEND_CORS_ORIGINS": '["*"]',
            "LIMITS_ENABLED": "false",
            "DEFAULT_PAGE_SIZE": "101",
            "DB_POOL_SIZE": "x",
        }
    )
    named = [*MISSING, "MAIL_FROM", "FRONTEND_URL", "BACKEND_CORS_ORIGINS", "LIMITS_ENABLED"]
    for name in (*named, "DEFAULT_PAGE_SIZE", "DB_POOL_SIZE"):
        assert len([fault for fault in faults if fault.startswith(name)]) == 1, name
    assert len(faults) == len(named) + 2


def test_consequences_of_an_invalid_value_are_not_reported() -> None:
    """With a correct MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE may be correct."""
    (fault,) = find_faults({"DEFAULT_PAGE_SIZE": "150", "MAX_PAGE_SIZE": "2oo"})
    assert fault.startswith("MAX_PAGE_SIZE")


LINKS = {
    f"{name}_{rest}": value
    for name in ("REDIS", "POSTGRES", "SMTP", "METRICS", "DATABASE", "PLINTH")
    for rest, value in {
        "PORT": "tcp://10.0.0.11:6379",
        "SERVICE_HOST": "10.0.0.11",
        "SERVICE_PORT": "6379",
        "PORT_6379_TCP": "tcp://10.0.0.11:6379",
        "PORT_6379_TCP_ADDR": "10.0.0.11",
        "PORT_6379_TCP_PORT": "6379",
        "PORT_6379_TCP_PROTO": "tcp",
    }.items()
}


def test_kubernetes_service_variables_are_ignored_with_complete_urls() -> None:
    assert find_faults(COMPLETE | LINKS) == []


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("REDIS_PORT", {"REDIS_HOST": "redis"}),
        ("POSTGRES_PORT", {"POSTGRES_HOST": "postgres"}),
        ("SMTP_PORT", FINE),
    ],
)
def test_address_in_a_port_variable_is_explained(name: str, given: dict[str, str]) -> None:
    (fault,) = find_faults({**given, name: "udp://10.0.0.11:25"})
    assert fault.startswith(f"{name}: is an address")
    assert "enableServiceLinks: false" in fault


def test_parts_are_ignored_with_a_complete_url() -> None:
    parts = {name: wrong_values(name)[0] for name in NAMES if is_part(name)}
    assert find_faults(COMPLETE | parts) == []
    os.environ |= COMPLETE | {"POSTGRES_HOST": "elsewhere", "REDIS_DB": "7"}
    settings = load_settings()
    assert (
        COMPLETE["DATABASE_URL"],
        COMPLETE["REDIS_URL"],
    ) == (settings.DATABASE_URL, settings.REDIS_URL)
