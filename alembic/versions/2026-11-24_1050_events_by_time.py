"""events by time

Revision ID: 5d3e9b07c2a4
Revises: 5d0c7a93e1b6
Create Date: 2026-11-24 10:50:00+00:00
"""

from collections.abc import Sequence

from alembic import op

revision: str = "5d3e9b07c2a4"
down_revision: str | None = "5d0c7a93e1b6"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # Rows come in the order of their times, so a BRIN of a few pages is enough, and soon made.
    # Not CONCURRENTLY: that would wait for those who wait for us to have migrated.
    op.create_index("ix_events_at", "events", ["at"], postgresql_using="brin")


def downgrade() -> None:
    op.drop_index("ix_events_at", "events")
