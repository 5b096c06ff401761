"""The library's tables

Revision ID: b1d4f6a80c27
Revises:
Create Date: 2026-11-30 09:00:00+00:00
"""

from collections.abc import Sequence

from alembic import op

revision: str = "b1d4f6a80c27"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.plinth_schema(since=0, to=1)


def downgrade() -> None:
    op.plinth_schema(since=1, to=0)
