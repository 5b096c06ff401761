"""Tables: names, triggers, secrets and relationships."""

import re

import asyncpg
from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import configure_mappers

from plinth.cli.application import load_application
from plinth.db.models import Base, sounds_secret

load_application()  # and with it the models
TABLES = Base.metadata.tables
KINDS = {
    "p": r"pk_{table}",
    "f": r"fk_{table}_\w+",
    "u": r"uq_{table}_\w+",
    "c": r"ck_{table}_\w+",
}


async def test_constraint_and_index_names_follow_convention(
    second: asyncpg.Connection,
) -> None:
    constraints = await second.fetch(
        "SELECT conname AS name, contype::text AS kind, relname AS table FROM pg_constraint"
        " JOIN pg_class ON pg_class.oid = conrelid"
        " WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'f', 'u', 'c')"
        " AND relname = ANY($1)",
        [*TABLES],
    )
    indexes = await second.fetch(
        "SELECT indexname AS name, tablename AS table FROM pg_indexes"
        " WHERE schemaname = 'public' AND tablename = ANY($1)",
        [*TABLES],
    )
    wrong = [
        row["name"]
        for row in constraints
        if not re.fullmatch(KINDS[row["kind"]].format(table=row["table"]), row["name"])
    ] + [
        row["name"]
        for row in indexes
        if not re.fullmatch(rf"(ix|uq)_{row['table']}_\w+|pk_{row['table']}", row["name"])
    ]
    assert wrong == [], "name it in the migration as NAMES in plinth/db/models.py has it"


async def test_updated_at_has_its_trigger(
    second: asyncpg.Connection,
) -> None:
    having = {name for name, table in TABLES.items() if "updated_at" in table.c}
    triggered = await second.fetch(
        "SELECT relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
        " WHERE tgname = 'set_updated_at' AND relname = ANY($1)",
        [*TABLES],
    )
    assert having == {row["relname"] for row in triggered}, (
        "create the trigger set_updated_at in the table's migration"
    )


async def test_version_has_its_trigger(second: asyncpg.Connection) -> None:
    having = {name for name, table in TABLES.items() if "version" in table.c}
    triggered = await second.fetch(
        "SELECT relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
        " WHERE tgname = 'count_version' AND relname = ANY($1)",
        [*TABLES],
    )
    assert having == {row["relname"] for row in triggered}, (
        "create the trigger count_version in the table's migration"
    )


def test_secret_columns_are_marked() -> None:
    """So that no lean read selects it (`plinth/db/reading`)."""
    unmarked = [
        f"{table.name}.{column.name}"
        for table in TABLES.values()
        for column in table.c
        if sounds_secret(column.name)
        and isinstance(column.type, (LargeBinary, String))
        and "secret" not in column.info
    ]
    assert unmarked == [], 'add info={"secret": True} to the column; or False, if it may be shown'


def test_relationships_load_explicitly() -> None:
    configure_mappers()
    lazy = [
        f"{mapper.class_.__name__}.{relationship.key}"
        for mapper in Base.registry.mappers
        for relationship in mapper.relationships
        if relationship.lazy not in ("raise", "raise_on_sql")
    ]
    assert lazy == [], 'say lazy="raise", and load it where it is needed'
