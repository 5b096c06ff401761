"""The Alembic operation `op.plinth_schema(since=1, to=2)`."""

from collections.abc import Callable
from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import renderers
from alembic.operations import MigrateOperation, Operations
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, text

from plinth.config import settings
from plinth.db.schema import steps

FUNCTION = "plinth_schema_version()"
# STABLE and not IMMUTABLE, because the next migration replaces the number.
RECORD = (
    f"CREATE OR REPLACE FUNCTION {FUNCTION} RETURNS integer LANGUAGE sql STABLE AS 'SELECT {{}}'"
)
FORGET = f"-- squawk-ignore ban-drop-function\nDROP FUNCTION {FUNCTION}"
# For printed SQL. With a connection, `_check_version` checks the version.
GUARD = """
DO $$
DECLARE
    version integer := 0;
BEGIN
    IF to_regprocedure('{function}') IS NOT NULL THEN
        version := {function};
    END IF;
    IF version <> {since} THEN
        RAISE EXCEPTION '{change} does not fit: the schema version is %', version;
    END IF;
END
$$
""".strip()


@Operations.register_operation("plinth_schema")
class PlinthSchemaOp(MigrateOperation):
    def __init__(self, since: int, to: int, stamp: bool = False) -> None:
        self.since = since
        self.to = to
        self.stamp = stamp

    @classmethod
    def plinth_schema(
        cls, operations: Operations, *, since: int, to: int, stamp: bool = False
    ) -> None:
        """Change the library's tables from one schema version to another, up or down.

        Args:
            since: the current version of the database; 0 without the library's tables.
            to: the new version.
            stamp: only record the version, because earlier migrations created the tables.

        Raises:
            CommandError: the database has another version, or this library lacks the new one.
        """
        operations.invoke(cls(since, to, stamp))

    def reverse(self) -> "PlinthSchemaOp":
        return PlinthSchemaOp(self.to, self.since, self.stamp)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("plinth_schema", self.since, self.to)

    def __str__(self) -> str:
        stamp = ", stamp=True" if self.stamp else ""
        return f"op.plinth_schema(since={self.since}, to={self.to}{stamp})"


@renderers.dispatch_for(PlinthSchemaOp)
def render(_: AutogenContext, change: PlinthSchemaOp) -> str:
    return str(change)


@Operations.implementation_for(PlinthSchemaOp)
def change_schema(operations: Operations, change: PlinthSchemaOp) -> None:
    context = operations.migration_context
    newest = steps.newest()
    if change.since == change.to or not min(change.since, change.to) >= 0:
        raise CommandError(
            f"{change}: `since` and `to` must be two different versions from 0 to {newest}"
        )
    if max(change.since, change.to) > newest:
        raise CommandError(
            f"{change}: the newest schema version of this library is {newest}. Install the release "
            "of plinth-backend for which the migration was written."
        )
    run, since = _begin(context, change)
    if change.stamp:
        _record(run, change.to)
    elif change.since < change.to:
        for step in steps.read_steps()[since : change.to]:
            _run_script(context, run, step.up, step.number)
    else:
        for step in reversed(steps.read_steps()[change.to : since]):
            _run_script(context, run, step.down, step.number - 1)


Run = Callable[[str], object]


def _begin(context: MigrationContext, change: PlinthSchemaOp) -> tuple[Run, int]:
    """Check the version of the database.

    Returns:
        The function that runs a statement, and the version to start from.
    """
    if context.as_sql:
        guard = GUARD.format(function=FUNCTION, since=change.since, change=change)
        context.impl.static_output(f"{guard};\n")
        return lambda statement: context.impl.static_output(f"{statement};\n"), change.since
    connection = context.connection
    assert connection is not None
    version = find_version(connection)
    _check_version(change, version)
    if change.stamp and change.to > change.since:
        _check_objects(connection, change)
    return connection.exec_driver_sql, version


def find_version(connection: Connection) -> int:
    """Return the schema version of a database; 0 if no migration recorded one."""
    if connection.scalar(text(f"SELECT to_regprocedure('{FUNCTION}')::text")) is None:
        return 0
    return int(connection.scalar(text(f"SELECT {FUNCTION}")) or 0)


def _check_version(change: PlinthSchemaOp, version: int) -> None:
    """Raise if the version is not `since`, or one that an interrupted migration left behind."""
    if version == change.since:
        return
    low, high = sorted((change.since, change.to))
    commits_early = any(
        not (step.up if change.since < change.to else step.down).in_transaction
        for step in steps.read_steps()[low:high]
    )
    if not (commits_early and low < version < high):
        raise CommandError(
            f"{change} does not fit: the database has schema version {version}. Nothing was "
            f"changed. Correct `since` in the migration."
        )


def _check_objects(connection: Connection, change: PlinthSchemaOp) -> None:
    needed = frozenset[str]().union(*(it.objects for it in steps.read_steps()[: change.to]))
    if lacking := sorted(needed - steps.read_objects(connection)):
        raise CommandError(
            f"{change} does not fit: the database lacks {', '.join(lacking[:5])}. Nothing was "
            f"changed. Remove `stamp=True` if no migration has created the library's tables."
        )


def _run_script(context: MigrationContext, run: Run, script: steps.Script, version: int) -> None:
    if script.in_transaction:
        for statement in script.statements():
            run(statement)
    else:
        with context.autocommit_block():
            run("SET statement_timeout = 0")
            for statement in script.statements():
                run(statement)
            run(f"SET statement_timeout = '{settings.MIGRATION_TIMEOUT}s'")
    _record(run, version)


def _record(run: Run, version: int) -> None:
    run(RECORD.format(version) if version else FORGET)
