"""users and sessions

Revision ID: 7c1e0a4b9d25
Revises:
Create Date: 2026-11-23 09:00:00+00:00
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "7c1e0a4b9d25"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

UPDATED_AT = """
CREATE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at = now();
    RETURN NEW;
END
$$
"""


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gin")
    op.execute(UPDATED_AT)
    create_users()
    create_sessions()


def create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("email", sa.String(255), nullable=False),
        sa.Column("username", sa.String(50), nullable=False),
        sa.Column("hashed_password", sa.String(255), nullable=False),
        sa.Column("full_name", sa.String(255), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("is_superuser", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_verified", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
    )
    op.execute(
        "CREATE TRIGGER set_updated_at BEFORE UPDATE ON users FOR EACH ROW"
        " WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION set_updated_at()"
    )
    op.create_index("uq_users_email_lower", "users", [sa.text("lower(email)")], unique=True)
    op.create_index("uq_users_username_lower", "users", [sa.text("lower(username)")], unique=True)
    op.create_index(
        "ix_users_search_trgm",
        "users",
        [sa.text(r"(email || E'\n' || username || E'\n' || coalesce(full_name, '')) gin_trgm_ops")],
        postgresql_using="gin",
    )
    newest_first = [sa.text("created_at DESC"), sa.text("id DESC")]
    op.create_index("ix_users_created_at", "users", newest_first)
    op.create_index("ix_users_active", "users", newest_first, postgresql_where=sa.text("is_active"))


def create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), server_default=sa.func.gen_random_uuid(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(32), nullable=True),
        sa.Column("successor", sa.LargeBinary(), nullable=True),
        sa.Column("rotations", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("graces", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(True), server_default=sa.func.now(), nullable=False),
        sa.Column("last_used_at", sa.DateTime(True), server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", sa.DateTime(True), nullable=False),
        sa.Column("ends_at", sa.DateTime(True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(True), nullable=True),
        sa.Column("revoked_reason", sa.String(50), nullable=True),
        sa.Column("user_agent", sa.String(255), nullable=True),
        sa.Column("ip", postgresql.INET(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_sessions_user_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])


def downgrade() -> None:
    op.drop_table("sessions")
    op.drop_table("users")
    op.execute("DROP FUNCTION set_updated_at()")
    op.execute("DROP EXTENSION btree_gin")
    op.execute("DROP EXTENSION pg_trgm")
