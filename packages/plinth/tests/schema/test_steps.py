"""The library's steps: complete, equal to the migrations before them, and safe to roll out."""

import asyncio
import os
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from plinth.db import migrations
from plinth.db.models import Base
from plinth.db.schema import steps
from plinth.testing.databases import TestServices, dump_schema, empty_database
from tests.support.schemas import Team, ask

INDEXES_BY_AGE = """
SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE indrelid = 'users'::regclass AND indisunique AND NOT indisprimary ORDER BY indexrelid
"""
# Statements that may break the code of the previous release.
CONTRACTING = re.compile(
    r"\bDROP\b(?! NOT NULL)|\bTRUNCATE\b|\bRENAME\b|\bSET NOT NULL\b"
    r"|\bALTER (COLUMN )?\w+ (SET DATA )?TYPE\b"
    r"|\bADD COLUMN (?![^,;]*\bDEFAULT\b)[^,;]*\bNOT NULL\b",
    re.IGNORECASE,
)
MARK = re.compile(r"contracting in (\d+)")


@pytest.fixture
def empty(services: TestServices, worker_id: str) -> Iterator[str]:
    with empty_database(services, f"{worker_id}_steps") as url:
        yield url


@pytest.fixture
def team(tmp_path: Path, empty: str) -> Team:
    return Team.begin(tmp_path, empty)


def inspect(url: str, look: object) -> object:
    assert callable(look)

    async def connect() -> object:
        address = url.replace("postgresql://", "postgresql+asyncpg://")
        async with create_async_engine(address, poolclass=NullPool).connect() as connection:
            return await connection.run_sync(look)

    return asyncio.run(connect())


def test_new_and_old_history_produce_the_same_schema(
    team: Team, services: TestServices, worker_id: str
) -> None:
    with empty_database(services, f"{worker_id}_history") as old:
        migrations.upgrade(old)
        written = team.autogenerate()
        assert f"op.plinth_schema(since=0, to={steps.newest()})\n" in written
        team.upgrade()
        assert dump_schema(team.url) == dump_schema(old)
        assert ask(team.url, INDEXES_BY_AGE) == ask(old, INDEXES_BY_AGE)


def test_steps_create_the_schema_of_the_models(team: Team) -> None:
    """All of it, although `alembic revision --autogenerate` leaves out what a step creates."""
    team.autogenerate()
    team.upgrade()
    options = {"compare_type": True, "compare_server_default": True}

    def compare(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, Base.metadata))

    assert inspect(team.url, compare) == [], "write a new step in plinth/db/schema/sql"


def test_objects_txt_lists_the_objects_of_each_step(team: Team) -> None:
    before = frozenset[str]()
    for step in steps.read_steps():
        team.write(f"op.plinth_schema(since={step.number - 1}, to={step.number})")
        team.upgrade()
        found = inspect(team.url, steps.read_objects)
        assert isinstance(found, frozenset)
        if os.environ.get("UPDATE_NAMES"):
            (step.folder / "objects.txt").write_text("\n".join(sorted(found - before)) + "\n")
        assert step.objects == found - before, "UPDATE_NAMES=1 pytest writes it"
        before = found


def test_each_step_can_be_undone(team: Team) -> None:
    dumps = []
    for number in range(steps.newest()):
        up, down = f"since={number}, to={number + 1}", f"since={number + 1}, to={number}"
        team.write(f"op.plinth_schema({up})", f"op.plinth_schema({down})")
        dumps.append(dump_schema(team.url))
        team.upgrade()
    for before in reversed(dumps[1:]):
        team.downgrade()
        assert dump_schema(team.url) == before
    team.downgrade("base")
    assert "CREATE FUNCTION" not in dump_schema(team.url)
    team.upgrade()


def test_step_numbers_have_no_gap() -> None:
    assert [step.number for step in steps.read_steps()] == list(range(1, steps.newest() + 1))


def find_contraction(step: steps.Step) -> str | None:
    """Return the statements that may break the previous release, unless they are marked."""
    if any(MARK.fullmatch(directive) for directive in step.up.directives):
        return None
    without_comments = re.sub(r"--[^\n]*", "", step.up.text)
    found = CONTRACTING.search(without_comments)
    return found[0] if found else None


def test_a_minor_release_only_expands_the_schema() -> None:
    major = int(version("plinth-backend").partition(".")[0])
    for step in steps.read_steps()[1:]:
        assert find_contraction(step) is None, (
            "docs/explanation/decisions/schema-steps.md has the rule"
        )
        for directive in step.up.directives:
            mark = MARK.fullmatch(directive)
            assert not mark or int(mark[1]) <= major, f"{step.folder.name} is for a later release"


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("ALTER TABLE users DROP COLUMN email;", "DROP"),
        ("ALTER TABLE users ALTER COLUMN email TYPE text;", "ALTER COLUMN email TYPE"),
        ("ALTER TABLE users RENAME COLUMN email TO mail;", "RENAME"),
        ("ALTER TABLE users ALTER email SET NOT NULL;", "SET NOT NULL"),
        ("ALTER TABLE users ADD COLUMN a int NOT NULL;", "ADD COLUMN a int NOT NULL"),
        ("ALTER TABLE users ADD COLUMN a int NOT NULL DEFAULT 0;", None),
        ("ALTER TABLE users ADD COLUMN a int DEFAULT 0 NOT NULL;", None),
        ("ALTER TABLE users ALTER a DROP NOT NULL; -- DROP comes in 3", None),
        ("-- plinth: contracting in 3\nALTER TABLE users DROP COLUMN email;", None),
    ],
)
def test_find_contraction_recognizes_contractions(
    tmp_path: Path, sql: str, found: str | None
) -> None:
    (tmp_path / "up.sql").write_text(sql)
    assert find_contraction(steps.Step(tmp_path)) == found


def test_all_directives_are_known() -> None:
    known = {steps.NO_TRANSACTION, steps.END_SESSIONS}
    for step in steps.read_steps():
        for script in (step.up, step.down):
            assert all(MARK.fullmatch(it) or it in known for it in script.directives)


@pytest.mark.parametrize("step", steps.read_steps(), ids=lambda step: step.folder.name)
def test_no_statement_is_lost(step: steps.Step) -> None:
    for script in (step.up, step.down):
        rest = script.text
        for statement in statements_of(script):
            rest = rest.replace(f"{statement};", "", 1)
        assert re.sub(r"--[^\n]*", "", rest).strip() == "", "a statement ends with a semicolon"


def statements_of(script: steps.Script) -> list[str]:
    return [it for it in script.statements() if it not in steps.ENDING_SESSIONS]


def test_statements_are_split_at_semicolons() -> None:
    text = "-- a; b\nSELECT ';';\nDO $x$ BEGIN PERFORM 1; END $x$;\nSELECT '$$;''', 2;"
    assert list(steps.Script(text).statements()) == [
        "-- a; b\nSELECT ';'",
        "DO $x$ BEGIN PERFORM 1; END $x$",
        "SELECT '$$;''', 2",
    ]
