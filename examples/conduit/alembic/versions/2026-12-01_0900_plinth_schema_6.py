"""plinth schema 6

Revision ID: 6d2c8f17e6a0
Revises: 5d0f8e27c4b6
Create Date: 2026-12-01 09:00:00+00:00
"""

from collections.abc import Sequence

from alembic import op

revision: str = "6d2c8f17e6a0"
down_revision: str | None = "5d0f8e27c4b6"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.plinth_schema(since=5, to=6)


def downgrade() -> None:
    op.plinth_schema(since=6, to=5)
