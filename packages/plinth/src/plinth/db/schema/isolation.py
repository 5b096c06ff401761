"""Isolate the organizations in a table: `op.enable_tenant_isolation("invoices")` and further
operations of Alembic.

docs/how-to/tenant-isolation.md explains their use.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import renderers
from alembic.operations import MigrateOperation, Operations
from sqlalchemy import MetaData, Table, text

from plinth.db.grants import MAINTENANCE_POLICY, maintenance_policy
from plinth.db.tenancy import MAINTENANCE_SETTING, TENANT_POLICY, TENANT_SETTING

# STABLE functions of a constant, which an index scan evaluates once. The setting is an empty text
# after the first transaction of a session that set it.
IS_TENANT = f"organization_id = nullif(current_setting('{TENANT_SETTING}', true), '')::bigint"
ENABLE = (
    "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
    f"CREATE POLICY {TENANT_POLICY} ON {{table}} USING ({IS_TENANT}) WITH CHECK ({IS_TENANT})",
    maintenance_policy("{table}", "CURRENT_ROLE"),
)
DISABLE = (
    f"DROP POLICY {MAINTENANCE_POLICY} ON {{table}}",
    f"DROP POLICY {TENANT_POLICY} ON {{table}}",
    "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
)
SET_MAINTENANCE = (
    f"SELECT set_config('{MAINTENANCE_SETTING}', '{{state}}', true),"
    " set_config('row_security', '{state}', true)"
)
ISOLATED = text("SELECT polrelid::regclass::text FROM pg_policy WHERE polname = :name")


@Operations.register_operation("enable_tenant_isolation")
class EnableTenantIsolationOp(MigrateOperation):
    def __init__(self, table: str) -> None:
        self.table = table

    @classmethod
    def enable_tenant_isolation(cls, operations: Operations, table: str) -> None:
        """Let the application see and change only rows of the current organization.

        Args:
            table: the name of a table with the column `organization_id`.
        """
        operations.invoke(cls(table))

    def reverse(self) -> "DisableTenantIsolationOp":
        return DisableTenantIsolationOp(self.table)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("enable_tenant_isolation", self.table)


@Operations.register_operation("disable_tenant_isolation")
class DisableTenantIsolationOp(MigrateOperation):
    def __init__(self, table: str) -> None:
        self.table = table

    @classmethod
    def disable_tenant_isolation(cls, operations: Operations, table: str) -> None:
        """Drop what `enable_tenant_isolation` created. The application sees all rows then."""
        operations.invoke(cls(table))

    def reverse(self) -> EnableTenantIsolationOp:
        return EnableTenantIsolationOp(self.table)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("disable_tenant_isolation", self.table)


@Operations.register_operation("maintenance")
class MaintenanceOp(MigrateOperation):
    def __init__(self, state: str) -> None:
        self.state = state

    @classmethod
    def maintenance(cls, operations: Operations) -> AbstractContextManager[None]:
        """Let the statements of the block read and change the rows of all organizations.

        Without it, PostgreSQL refuses each statement that policies of a table would affect.
        """
        return _in_maintenance(operations)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("maintenance", self.state)


@contextmanager
def _in_maintenance(operations: Operations) -> Iterator[None]:
    operations.invoke(MaintenanceOp("on"))
    yield
    operations.invoke(MaintenanceOp("off"))


@Operations.implementation_for(EnableTenantIsolationOp)
def _enable(operations: Operations, change: EnableTenantIsolationOp) -> None:
    _execute(operations, ENABLE, change.table)


@Operations.implementation_for(DisableTenantIsolationOp)
def _disable(operations: Operations, change: DisableTenantIsolationOp) -> None:
    _execute(operations, DISABLE, change.table)


@Operations.implementation_for(MaintenanceOp)
def _set_maintenance(operations: Operations, change: MaintenanceOp) -> None:
    operations.execute(SET_MAINTENANCE.format(state=change.state))


def _execute(operations: Operations, statements: Iterable[str], table: str) -> None:
    for statement in statements:
        operations.execute(statement.format(table=table))


@renderers.dispatch_for(EnableTenantIsolationOp)
def _render_enable(_: AutogenContext, change: EnableTenantIsolationOp) -> str:
    return f'op.enable_tenant_isolation("{change.table}")'


@renderers.dispatch_for(DisableTenantIsolationOp)
def _render_disable(_: AutogenContext, change: DisableTenantIsolationOp) -> str:
    return f'op.disable_tenant_isolation("{change.table}")'


def is_organization_owned(table: Table) -> bool:
    """Return whether the model of the table has the mixin `OrganizationOwned`."""
    return any(column.info.get("tenant") for column in table.columns)


def find_unprotected_tables(context: AutogenContext) -> list[MigrateOperation]:
    """Return the operation for each table of organizations that has no policy yet."""
    connection, metadata = context.connection, context.metadata
    assert connection is not None
    assert isinstance(metadata, MetaData)
    owned = {table.name for table in metadata.tables.values() if is_organization_owned(table)}
    isolated = connection.scalars(ISOLATED, {"name": TENANT_POLICY})
    return [EnableTenantIsolationOp(name) for name in sorted(owned - {*isolated})]
