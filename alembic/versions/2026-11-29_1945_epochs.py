"""epochs of users and sessions

Revision ID: 8e41c6d0b7f2
Revises: 5d3e9b07c2a4
Create Date: 2026-11-29 19:45:00+00:00
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "8e41c6d0b7f2"
down_revision: str | None = "5d3e9b07c2a4"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# For code that does not know the column: a constant default would be wrong after an increment.
SET_SESSION_EPOCH = """
CREATE FUNCTION set_session_epoch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT users.session_epoch INTO NEW.session_epoch FROM users WHERE users.id = NEW.user_id;
    RETURN NEW;
END
$$
"""

COUNT_CREDENTIAL_EPOCH = """
CREATE FUNCTION count_credential_epoch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.credential_epoch = OLD.credential_epoch + 1;
    RETURN NEW;
END
$$
"""


def upgrade() -> None:
    # All rows begin with 0, so no session ends. A constant default rewrites no table.
    for table, column in (
        ("users", "session_epoch"),
        ("users", "credential_epoch"),
        ("sessions", "session_epoch"),
    ):
        zero = sa.Column(column, sa.BigInteger(), server_default=sa.text("0"), nullable=False)
        op.add_column(table, zero)
    # Code that leaves the column out gets the trigger's value.
    op.execute(
        "-- squawk-ignore ban-drop-default\n"
        "ALTER TABLE sessions ALTER COLUMN session_epoch DROP DEFAULT"
    )
    op.execute(SET_SESSION_EPOCH)
    op.execute(
        "CREATE TRIGGER set_session_epoch BEFORE INSERT ON sessions FOR EACH ROW"
        " WHEN (NEW.session_epoch IS NULL) EXECUTE FUNCTION set_session_epoch()"
    )
    op.execute(COUNT_CREDENTIAL_EPOCH)
    op.execute(
        "CREATE TRIGGER count_credential_epoch BEFORE UPDATE ON users FOR EACH ROW"
        " WHEN (NEW.credential_epoch = OLD.credential_epoch"
        " AND (NEW.email, NEW.hashed_password, NEW.is_active, NEW.is_superuser)"
        " IS DISTINCT FROM (OLD.email, OLD.hashed_password, OLD.is_active, OLD.is_superuser))"
        " EXECUTE FUNCTION count_credential_epoch()"
    )


def downgrade() -> None:
    # Sessions that only their epoch ended would be live again.
    op.execute("LOCK TABLE users, sessions IN ACCESS EXCLUSIVE MODE")
    op.execute(
        "UPDATE sessions SET revoked_at = now(), revoked_reason = 'downgrade'"
        " WHERE revoked_at IS NULL"
    )
    op.execute("DROP FUNCTION set_session_epoch() CASCADE")
    op.execute("DROP FUNCTION count_credential_epoch() CASCADE")
    op.drop_column("sessions", "session_epoch")
    op.drop_column("users", "credential_epoch")
    op.drop_column("users", "session_epoch")
