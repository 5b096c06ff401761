"""plinth schema 7

Revision ID: 8c3a5f19d7e2
Revises: 6d2c8f17e6a0
Create Date: 2026-12-01 09:30:00+00:00
"""

from collections.abc import Sequence

from alembic import op

revision: str = "8c3a5f19d7e2"
down_revision: str | None = "6d2c8f17e6a0"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.plinth_schema(since=6, to=7)


def downgrade() -> None:
    op.plinth_schema(since=7, to=6)
