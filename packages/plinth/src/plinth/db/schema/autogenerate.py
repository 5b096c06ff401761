"""What `alembic revision --autogenerate` sees: the application's tables, the application's columns
and indexes on the library's tables, and the library's pending steps."""

from collections.abc import Iterable
from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.compare import comparators
from alembic.operations.ops import MigrationScript, UpgradeOps
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError, DispatchPriority, PriorityDispatchResult
from sqlalchemy import Connection

from plinth.db.schema import catalog, steps
from plinth.db.schema.operation import PlinthSchemaOp, find_version


def is_compared(item: Any, name: str | None, kind: str, _: bool, compare_to: object) -> bool:
    """Return whether alembic compares an object: not where a step of the library creates it."""
    owned = steps.find_objects()
    if kind == "table":
        # A table on both sides may have columns of the application.
        return f"table {name}" not in owned or compare_to is not None
    kind = {"column": "column", "index": "index"}.get(kind, "constraint")
    return f"{kind} {item.table.name}.{name}" not in owned


@comparators.dispatch_for("schema", priority=DispatchPriority.LAST)
def find_pending_step(
    context: AutogenContext, operations: UpgradeOps, _: Iterable[str | None]
) -> PriorityDispatchResult:
    """Replace the found differences by the pending step, which has a migration of its own."""
    connection = context.connection
    assert connection is not None
    version, newest = find_version(connection), steps.newest()
    if version > newest:
        raise CommandError(
            f"the database has schema version {version}, and this library {newest}: install the "
            "release of plinth-backend that changed the database"
        )
    if version < newest:
        operations.ops[:] = [_write_step(connection, version, newest)]
    return PriorityDispatchResult.CONTINUE


def _write_step(connection: Connection, version: int, newest: int) -> PlinthSchemaOp:
    """Stamp the tables of version 1 of Plinth, whose migrations belonged to the application."""
    found = catalog.read_objects(connection)
    if version or "table users" not in found:
        return PlinthSchemaOp(version, newest)
    needed = frozenset[str]()
    there = 0
    for step in steps.read_steps():
        needed |= step.objects
        if needed <= found:
            there = step.number
    if there:
        return PlinthSchemaOp(0, there, stamp=True)
    first = steps.read_steps()[0].objects - found
    raise CommandError(
        f"the database has the table users, but not all of schema version 1: it lacks "
        f"{', '.join(sorted(first)[:5])}. Run the migrations of the application that create the "
        "library's tables first; nothing was written"
    )


def write_revision(context: MigrationContext, _: object, scripts: list[MigrationScript]) -> None:
    """Name a migration after its step, and write none that would be empty."""
    config = context.config
    assert config is not None
    (script,) = scripts
    assert script.upgrade_ops is not None
    found = script.upgrade_ops.ops
    if found and isinstance(found[0], PlinthSchemaOp):
        script.message = script.message or f"plinth schema {found[0].to}"
    if not found and getattr(config.cmd_opts, "autogenerate", False):
        scripts.clear()
        config.print_stdout(
            "Nothing to write: the database has the library's newest step, and the tables and "
            "columns of the application's models."
        )
