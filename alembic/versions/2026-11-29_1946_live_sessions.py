"""an index of live sessions

Revision ID: b35f9a17e0c4
Revises: 8e41c6d0b7f2
Create Date: 2026-11-29 19:46:00+00:00
"""

from collections.abc import Sequence

from alembic import op

revision: str = "b35f9a17e0c4"
down_revision: str | None = "8e41c6d0b7f2"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # Outside the transaction that locks both tables, so that requests can read meanwhile.
    # Not CONCURRENTLY: it would wait for processes that wait for this migration.
    with op.get_context().autocommit_block():
        op.execute(
            "-- squawk-ignore require-concurrent-index-creation\n"
            "CREATE INDEX IF NOT EXISTS ix_sessions_live"
            " ON sessions (user_id, session_epoch, created_at DESC, id) WHERE revoked_at IS NULL"
        )


def downgrade() -> None:
    op.drop_index("ix_sessions_live", "sessions")
