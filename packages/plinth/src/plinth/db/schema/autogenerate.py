"""Hooks of `alembic revision --autogenerate`.

They restrict it to the application's tables, the application's columns and indexes on the library's
tables, and the library's pending steps.
"""

from collections.abc import Iterable
from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.compare import comparators
from alembic.operations.ops import MigrationScript, UpgradeOps
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError, DispatchPriority, PriorityDispatchResult
from sqlalchemy import Connection

from plinth.db.schema import steps
from plinth.db.schema.isolation import find_unprotected_tables
from plinth.db.schema.operation import PlinthSchemaOp, find_version


def is_compared(item: Any, name: str | None, kind: str, _: bool, compare_to: object) -> bool:
    """Return whether alembic compares an object; False if a step of the library creates it."""
    owned = steps.find_objects()
    if kind == "table":
        # A table of the library may have additional columns of the application.
        return f"table {name}" not in owned or compare_to is not None
    kind = {"column": "column", "index": "index"}.get(kind, "constraint")
    return f"{kind} {item.table.name}.{name}" not in owned


@comparators.dispatch_for("schema", priority=DispatchPriority.LAST)
def find_pending_step(
    context: AutogenContext, operations: UpgradeOps, _: Iterable[str | None]
) -> PriorityDispatchResult:
    """Replace the differences with the pending step, which gets a separate migration.

    Otherwise, add the operations that create missing policies.
    """
    connection = context.connection
    assert connection is not None
    version, newest = find_version(connection), steps.newest()
    if version > newest:
        raise CommandError(
            f"the database has schema version {version}, but this release of plinth-backend has "
            f"{newest}: install the release that changed the database"
        )
    if version < newest:
        operations.ops[:] = [_write_step(connection, version, newest)]
    else:
        operations.ops += find_unprotected_tables(context)
    return PriorityDispatchResult.CONTINUE


def _write_step(connection: Connection, version: int, newest: int) -> PlinthSchemaOp:
    """Return the next step, or a stamp for tables that migrations of Plinth 1 created."""
    existing = steps.read_objects(connection)
    if version or "table users" not in existing:
        return PlinthSchemaOp(version, newest)
    needed = frozenset[str]()
    existing_version = 0
    for step in steps.read_steps():
        needed |= step.objects
        if needed <= existing:
            existing_version = step.number
    if existing_version:
        return PlinthSchemaOp(0, existing_version, stamp=True)
    missing = steps.read_steps()[0].objects - existing
    raise CommandError(
        f"the database has the table users, but not all of schema version 1: it lacks "
        f"{', '.join(sorted(missing)[:5])}. First run the application's migrations that create the "
        "library's tables. Nothing was written"
    )


def write_revision(context: MigrationContext, _: object, scripts: list[MigrationScript]) -> None:
    """Name a migration after its step, and do not write an empty one."""
    config = context.config
    assert config is not None
    (script,) = scripts
    assert script.upgrade_ops is not None
    operations = script.upgrade_ops.ops
    if operations and isinstance(operations[0], PlinthSchemaOp):
        script.message = script.message or f"plinth schema {operations[0].to}"
    if not operations and getattr(config.cmd_opts, "autogenerate", False):
        scripts.clear()
        config.print_stdout(
            "Nothing to write: the database has the library's newest schema version and "
            "matches the application's models."
        )
