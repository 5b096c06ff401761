"""earlier links of one purpose stay valid

Revision ID: 8c2f71d5e0b9
Revises: 4b8e1f60c7d3
Create Date: 2026-11-29 20:04:00+00:00
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "8c2f71d5e0b9"
down_revision: str | None = "4b8e1f60c7d3"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # A table of its own: code that is still running needs the unique (user_id, purpose) of
    # one_time_tokens, and ends these too when it removes their newest.
    op.create_table(
        "earlier_one_time_tokens",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("newest_id", sa.BigInteger(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("expires_at", sa.DateTime(True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_earlier_one_time_tokens"),
        sa.ForeignKeyConstraint(
            ["newest_id"],
            ["one_time_tokens.id"],
            name="fk_earlier_one_time_tokens_newest_id",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("token_hash", name="uq_earlier_one_time_tokens_token_hash"),
    )
    op.create_index(
        "ix_earlier_one_time_tokens_newest_id", "earlier_one_time_tokens", ["newest_id"]
    )


def downgrade() -> None:
    op.drop_table("earlier_one_time_tokens")
