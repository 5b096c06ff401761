"""mails and one-time tokens

Revision ID: 9a4c7e21d6f8
Revises: 2f6b8d0c1e43
Create Date: 2026-11-23 10:10:00+00:00
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "9a4c7e21d6f8"
down_revision: str | None = "2f6b8d0c1e43"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    create_one_time_tokens()
    create_mails()


def create_one_time_tokens() -> None:
    op.create_table(
        "one_time_tokens",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.String(20), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("email", sa.String(255), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(True), server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", sa.DateTime(True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_one_time_tokens"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_one_time_tokens_user_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("user_id", "purpose", name="uq_one_time_tokens_user_id_purpose"),
        sa.UniqueConstraint("token_hash", name="uq_one_time_tokens_token_hash"),
    )


def create_mails() -> None:
    op.create_table(
        "mails",
        sa.Column("id", sa.Uuid(), server_default=sa.func.gen_random_uuid(), nullable=False),
        sa.Column("kind", sa.String(50), nullable=False),
        sa.Column("recipient", sa.String(255), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "next_attempt_at", sa.DateTime(True), server_default=sa.func.now(), nullable=False
        ),
        sa.Column("leased_until", sa.DateTime(True), nullable=True),
        sa.Column("sent_at", sa.DateTime(True), nullable=True),
        sa.Column("dead_at", sa.DateTime(True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_mails"),
        sa.CheckConstraint(
            "sent_at IS NULL OR sealed IS NULL", name=op.f("ck_mails_erased_once_sent")
        ),
        sa.CheckConstraint("sent_at IS NULL OR dead_at IS NULL", name=op.f("ck_mails_ends_once")),
    )
    op.create_index(
        "ix_mails_next_attempt_at",
        "mails",
        ["next_attempt_at"],
        postgresql_where=sa.text("sent_at IS NULL AND dead_at IS NULL"),
    )
    op.create_index(
        "ix_mails_dead_at", "mails", ["dead_at"], postgresql_where=sa.text("dead_at IS NOT NULL")
    )
    op.create_index("ix_mails_created_at", "mails", ["created_at"])


def downgrade() -> None:
    op.drop_table("mails")
    op.drop_table("one_time_tokens")
