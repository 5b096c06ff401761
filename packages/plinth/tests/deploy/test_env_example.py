"""`.env.example` explains every setting once, and copying it changes nothing."""

import json
import re
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from plinth.config import Settings

ROOT = Path(__file__).parents[4]
EXAMPLE = (ROOT / ".env.example").read_text()
ASSIGNMENT = re.compile(r"^#([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)

CONTRACT = re.findall(
    r"\w+",
    """
    PROJECT_NAME VERSION API_V1_PREFIX ENVIRONMENT DEBUG
    POSTGRES_USER POSTGRES_PASSWORD POSTGRES_HOST POSTGRES_PORT POSTGRES_DB
    DATABASE_URL TEST_DATABASE_URL
    DB_POOL_SIZE DB_MAX_OVERFLOW DB_POOL_TIMEOUT DB_POOL_RECYCLE DB_ECHO
    REDIS_HOST REDIS_PORT REDIS_DB REDIS_PASSWORD REDIS_URL
    SECRET_KEY ALGORITHM ACCESS_TOKEN_EXPIRE_MINUTES REFRESH_TOKEN_EXPIRE_DAYS
    BACKEND_CORS_ORIGINS DEFAULT_PAGE_SIZE MAX_PAGE_SIZE
    """,
)


def uncommented() -> dict[str, str | None]:
    text = "\n".join(f"{name}={value}" for name, value in ASSIGNMENT.findall(EXAMPLE))
    return dotenv_values(stream=StringIO(text), interpolate=False)


def test_copy_of_the_example_sets_nothing() -> None:
    assert dotenv_values(stream=StringIO(EXAMPLE)) == {}


def test_each_name_is_listed_once() -> None:
    names = [name for name, _ in ASSIGNMENT.findall(EXAMPLE)]

    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("name", CONTRACT)
def test_settings_of_the_contract_are_listed(name: str) -> None:
    assert name in uncommented()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_is_listed(name: str) -> None:
    assert name in uncommented(), f"add `#{name}=<default>` under a comment to .env.example"


def test_each_setting_has_a_comment() -> None:
    lines = EXAMPLE.splitlines()
    bare = [
        line
        for above, line in pairwise(lines)
        if ASSIGNMENT.match(line) and not re.match(r"# [^-]", above)
    ]

    assert bare == []


def test_shown_value_is_the_default() -> None:
    shown = uncommented()
    # Settings without a default are shown with a value that fits compose.yaml.
    explained = {"POSTGRES_PASSWORD"} | {name for name in Settings.model_fields if "_URL" in name}

    for name, field in Settings.model_fields.items():
        if name not in explained and name in shown:
            value: Any = field.default
            expected = "" if value is None else value
            given = shown[name] or ""
            read: Any = given if isinstance(expected, str | Path) else yaml.safe_load(given)
            assert str(read) == str(expected), name


def test_uncommented_example_is_valid() -> None:
    values = {
        name: json.loads(value) if value.startswith(("[", "{")) else value
        for name, value in uncommented().items()
        if value
    }
    # Development starts with every line uncommented; an invalid value would raise here.
    settings = Settings.model_validate(values)

    assert settings.DATABASE_URL == "postgresql://postgres:development-only@localhost:5432/plinth"


def test_example_matches_compose() -> None:
    compose = (ROOT / "compose.yaml").read_text()
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]+)\}", compose))
    shown = uncommented()

    assert {name: shown.get(name) for name in defaults} == defaults
    unexplained = set(re.findall(r"\$\{(\w+)", compose)) - set(shown)
    assert not unexplained, "compose.yaml reads a name that .env.example does not explain"
