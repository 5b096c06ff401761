"""plinth schema 5

Revision ID: 5d0f8e27c4b6
Revises: 4b8e2f7d10c6
Create Date: 2026-12-01 08:30:00+00:00
"""

from collections.abc import Sequence

from alembic import op

revision: str = "5d0f8e27c4b6"
down_revision: str | None = "4b8e2f7d10c6"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.plinth_schema(since=4, to=5)


def downgrade() -> None:
    op.plinth_schema(since=5, to=4)
