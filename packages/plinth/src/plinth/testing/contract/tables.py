"""Table rules: names of constraints, triggers, secret columns and relationships."""

import re

import asyncpg
from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import configure_mappers

from plinth.cli.application import load_application
from plinth.db.models import Base, sounds_secret
from plinth.db.schema.isolation import is_organization_owned
from plinth.db.tenancy import TENANT_POLICY

load_application()  # imports the models
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
    assert wrong == [], (
        "rename these constraints and indexes in the migration to the convention: "
        "pk_TABLE, fk_TABLE_COLUMN, uq_TABLE_COLUMN, ck_TABLE_RULE, ix_TABLE_COLUMN"
    )


async def test_updated_at_has_its_trigger(
    second: asyncpg.Connection,
) -> None:
    await check_trigger(second, "updated_at", "set_updated_at")


async def test_version_has_its_trigger(second: asyncpg.Connection) -> None:
    await check_trigger(second, "version", "count_version")


async def check_trigger(connection: asyncpg.Connection, column: str, trigger: str) -> None:
    """Fail unless exactly the tables with the column have the trigger."""
    tables = {name for name, table in TABLES.items() if column in table.c}
    rows = await connection.fetch(
        "SELECT relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
        " WHERE tgname = $1 AND relname = ANY($2)",
        trigger,
        [*TABLES],
    )
    having = {row["relname"] for row in rows}
    assert having == tables, (
        f"create the trigger {trigger} in the migration of each table with a column {column}: "
        f"missing in {sorted(tables - having)}, superfluous in {sorted(having - tables)}"
    )


async def test_tables_of_organizations_are_isolated(second: asyncpg.Connection) -> None:
    rows = await second.fetch(
        "SELECT relname FROM pg_class JOIN pg_policy ON polrelid = pg_class.oid"
        " WHERE polname = $1 AND relrowsecurity AND relforcerowsecurity",
        TENANT_POLICY,
    )
    owned = {name for name, table in TABLES.items() if is_organization_owned(table)}
    exposed = sorted(owned - {row["relname"] for row in rows})
    assert exposed == [], (
        "add op.enable_tenant_isolation(TABLE) to the migration of these tables with "
        "OrganizationOwned: members of each organization could see the rows of all"
    )


def test_secret_columns_are_marked() -> None:
    """Otherwise the read queries of `plinth/db/reading` could return them."""
    unmarked = [
        f"{table.name}.{column.name}"
        for table in TABLES.values()
        for column in table.c
        if sounds_secret(column.name)
        and isinstance(column.type, (LargeBinary, String))
        and "secret" not in column.info
    ]
    assert unmarked == [], (
        'add info={"secret": True} to these columns, or info={"secret": False} if they may be shown'
    )


def test_relationships_load_explicitly() -> None:
    configure_mappers()
    lazy = [
        f"{mapper.class_.__name__}.{relationship.key}"
        for mapper in Base.registry.mappers
        for relationship in mapper.relationships
        if relationship.lazy not in ("raise", "raise_on_sql")
    ]
    assert lazy == [], (
        'set lazy="raise" on these relationships, and load them in each query that needs them'
    )
