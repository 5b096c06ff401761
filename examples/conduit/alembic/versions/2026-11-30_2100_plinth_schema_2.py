"""plinth schema 2

Revision ID: 5e0a7b91c3d2
Revises: f0578221b1dc
Create Date: 2026-11-30 21:00:00+00:00
"""

from collections.abc import Sequence

from alembic import op

revision: str = "5e0a7b91c3d2"
down_revision: str | None = "f0578221b1dc"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.plinth_schema(since=1, to=2)


def downgrade() -> None:
    op.plinth_schema(since=2, to=1)
