"""plinth schema 4

Revision ID: 4b8e2f7d10c6
Revises: 9e4b7a1c35d8
Create Date: 2026-12-01 08:00:00+00:00
"""

from collections.abc import Sequence

from alembic import op

revision: str = "4b8e2f7d10c6"
down_revision: str | None = "9e4b7a1c35d8"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.plinth_schema(since=3, to=4)


def downgrade() -> None:
    op.plinth_schema(since=4, to=3)
