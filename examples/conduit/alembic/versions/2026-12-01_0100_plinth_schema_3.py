"""plinth schema 3

Revision ID: 9e4b7a1c35d8
Revises: 5e0a7b91c3d2
Create Date: 2026-12-01 01:00:00+00:00
"""

from collections.abc import Sequence

from alembic import op

revision: str = "9e4b7a1c35d8"
down_revision: str | None = "5e0a7b91c3d2"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.plinth_schema(since=2, to=3)


def downgrade() -> None:
    op.plinth_schema(since=3, to=2)
