"""plinth schema 1

Revision ID: 3a9d5c81f04e
Revises: 1f6a92d7e0b5
Create Date: 2026-11-30 09:00:00+00:00
"""

from collections.abc import Sequence

from alembic import op

revision: str = "3a9d5c81f04e"
down_revision: str | None = "1f6a92d7e0b5"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # The migrations before this one created all of it. Later ones apply the library's steps.
    op.plinth_schema(since=0, to=1, stamp=True)


def downgrade() -> None:
    op.plinth_schema(since=1, to=0, stamp=True)
