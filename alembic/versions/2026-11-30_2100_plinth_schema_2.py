"""plinth schema 2

Revision ID: 7c1d2f60b9a4
Revises: 3a9d5c81f04e
Create Date: 2026-11-30 21:00:00+00:00
"""

from collections.abc import Sequence

from alembic import op

revision: str = "7c1d2f60b9a4"
down_revision: str | None = "3a9d5c81f04e"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.plinth_schema(since=1, to=2)


def downgrade() -> None:
    op.plinth_schema(since=2, to=1)
