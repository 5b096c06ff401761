"""The house's rules, each as a test whose message tells the mend."""

import re
from collections.abc import Iterator

import asyncpg
import hypothesis
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext
from hypothesis import HealthCheck
from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import configure_mappers

from app.api import v1
from plinth.accounts.deps import get_current_user
from plinth.db.models import Base, sounds_secret
from plinth.health import root
from plinth.http.routes import walk_routes
from plinth.resources.deps import get_db
from tests.support.application import create_app
from tests.support.environment import LIBRARY, ROOT

SOURCES = sorted([*(ROOT / "app").rglob("*.py"), *LIBRARY.rglob("*.py")])
ROUTES = list(walk_routes(create_app()))
OPEN = {
    route.endpoint
    for router in (root.router, *v1.PUBLIC)
    for route in router.routes
    if isinstance(route, APIRoute)
}
KINDS = {
    "p": r"pk_{table}",
    "f": r"fk_{table}_\w+",
    "u": r"uq_{table}_\w+",
    "c": r"ck_{table}_\w+",
}


def depended_on(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for below in dependant.dependencies:
        yield from depended_on(below)


def dependant_of(route: RouteContext) -> Dependant:
    found: Dependant = route.dependant
    return found


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.methods} {route.path}")
def test_a_route_is_private_unless_it_stands_under_public(route: RouteContext) -> None:
    asks = any(it.call is get_current_user for it in depended_on(dependant_of(route)))
    assert asks != (route.endpoint in OPEN), (
        "put its router under PRIVATE in app/api/v1/__init__.py, or, if anyone may use it, PUBLIC"
    )


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.methods} {route.path}")
def test_a_private_route_asks_who_is_there_even_if_its_own_types_do_not(
    route: RouteContext,
) -> None:
    asks = any(it.dependency is get_current_user for it in route.dependencies)
    assert asks != (route.endpoint in OPEN), (
        "include every router of PRIVATE with `dependencies=[Depends(get_current_user)]`"
    )


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.methods} {route.path}")
def test_a_routes_session_is_committed_before_its_answer(route: RouteContext) -> None:
    sessions = [it for it in depended_on(dependant_of(route)) if it.call is get_db]
    assert all(it.scope == "function" for it in sessions), "ask for `db: DB` of app/api/deps.py"


COMMITS = re.compile(r"\.(commit|rollback)\(|[^#\n]\b_lane\.write\b")


def test_only_the_database_module_commits() -> None:
    """By whatever name it goes: what a statement by itself makes durable is a commit as well."""
    # The other one migrates: what it sets for the session has to outlive a transaction.
    allowed = LIBRARY / "db" / "database.py", LIBRARY / "db" / "schema" / "environment.py"
    assert all(COMMITS.search(file.read_text()) for file in allowed)
    guilty = [
        str(file.relative_to(ROOT))
        for file in SOURCES
        if file not in allowed and COMMITS.search(file.read_text())
    ]
    assert guilty == [], "flush; Database.transaction commits once, at the end"


def test_no_route_asks_the_database_itself() -> None:
    guilty = [
        str(file.relative_to(ROOT))
        for file in SOURCES
        if {"api", "routes"} & {*file.parts}
        and re.search(r"\bdb\.(execute|scalar|scalars|add|get)\(", file.read_text())
    ]
    assert guilty == [], "a query belongs to app/crud or to `queries` of a capability"


async def test_every_constraint_and_index_is_named_by_the_convention(
    second: asyncpg.Connection,
) -> None:
    constraints = await second.fetch(
        "SELECT conname AS name, contype::text AS kind, relname AS table FROM pg_constraint"
        " JOIN pg_class ON pg_class.oid = conrelid"
        " WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'f', 'u', 'c')"
        " AND relname NOT IN ('alembic_version', 'drafts', 'folders')"
    )
    indexes = await second.fetch(
        "SELECT indexname AS name, tablename AS table FROM pg_indexes"
        " WHERE schemaname = 'public' AND tablename NOT IN ('alembic_version', 'drafts', 'folders')"
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
    assert wrong == [], "name it in the migration as NAMES in app/models/base.py has it"


async def test_every_table_with_updated_at_keeps_it_by_trigger(
    second: asyncpg.Connection,
) -> None:
    having = {name for name, table in Base.metadata.tables.items() if "updated_at" in table.c}
    triggered = await second.fetch(
        "SELECT relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
        " WHERE tgname = 'set_updated_at' AND relname NOT IN ('drafts', 'folders')"  # tests/kit's
    )
    assert having == {row["relname"] for row in triggered}, (
        "create the trigger set_updated_at in the table's migration"
    )


async def test_every_table_with_version_counts_it_by_trigger(second: asyncpg.Connection) -> None:
    having = {name for name, table in Base.metadata.tables.items() if "version" in table.c}
    triggered = await second.fetch(
        "SELECT relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
        " WHERE tgname = 'count_version' AND relname NOT IN ('drafts', 'folders')"  # tests/kit's
    )
    assert having == {row["relname"] for row in triggered}, (
        "create the trigger count_version in the table's migration"
    )


def test_what_sounds_secret_is_marked() -> None:
    """So that no lean read selects it (`plinth/db/reading`)."""
    unmarked = [
        f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
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


def test_no_file_holds_two_subjects() -> None:
    long = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in SOURCES}
    assert {name: lines for name, lines in long.items() if lines > 300} == {}, (
        "make two files of it, or a folder with the same import name"
    )


# An upper bound of time that has passed. A lower one holds on a busy machine too, and processor
# time is no clock.
TIMED = re.compile(r"(monotonic|perf_counter)(_ns)?\(\) *-(?!.*>=)|deadline[=][^N]")


def test_no_test_is_timed_outside_the_faults() -> None:
    """A busy machine is slow, and not wrong. `measured(...)` shows a figure and judges none."""
    guilty = [
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for file in sorted((ROOT / "tests").rglob("*.py"))
        if file.relative_to(ROOT / "tests").parts[0] not in {"faults", "budget", "mutation"}
        for line in file.read_text().splitlines()
        if TIMED.search(line) and "measured(" not in line
    ]
    assert guilty == [], "count calls or wait with `until`; what is promised in seconds is a fault"


def test_hypothesis_times_no_example() -> None:
    assert hypothesis.settings().deadline is None
    assert HealthCheck.too_slow in hypothesis.settings().suppress_health_check
