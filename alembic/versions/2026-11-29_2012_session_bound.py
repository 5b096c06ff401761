"""sessions of a user: a bound, and cleanups

Revision ID: c7d20f5e83a1
Revises: 8c2f71d5e0b9
Create Date: 2026-11-29 20:12:00+00:00
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "c7d20f5e83a1"
down_revision: str | None = "8c2f71d5e0b9"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# A function, because each of its queries takes a snapshot of its own: one that is taken after the
# user's row is locked sees the sessions of all sign-ins before this one. The statement that calls
# it may have taken its snapshot before them. What it reads and what it ends is bounded; where more
# sessions are live, which only an earlier release allowed, each sign-in ends a few of them.
END_SURPLUS_SESSIONS = """
CREATE FUNCTION end_surplus_sessions(
    owner bigint, epoch bigint, newest uuid, most bigint, why text
) RETURNS SETOF uuid LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    WITH oldest AS (
        SELECT s.id, s.last_used_at, s.created_at FROM sessions s
        WHERE s.user_id = owner AND s.session_epoch = epoch AND s.revoked_at IS NULL
            AND s.expires_at > now() AND s.id <> newest
        ORDER BY s.created_at, s.id DESC LIMIT 1000
    ), surplus AS (
        SELECT oldest.id FROM oldest ORDER BY oldest.last_used_at, oldest.created_at, oldest.id
        LIMIT least(20, greatest(0, (SELECT count(*) FROM oldest) + 1 - most))
    )
    UPDATE sessions SET revoked_at = now(), revoked_reason = why
    FROM surplus WHERE sessions.id = surplus.id RETURNING sessions.id;
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "session_cleanups",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_session_cleanups"),
    )
    # A cascade over 300,000 sessions takes about a second, and all of it has to fit into the
    # request that deletes the user. A session without a user is as dead as one that has ended.
    op.execute(
        "-- squawk-ignore ban-drop-constraint\n"
        "ALTER TABLE sessions DROP CONSTRAINT fk_sessions_user_id"
    )
    op.execute(END_SURPLUS_SESSIONS)


def downgrade() -> None:
    op.execute("DROP FUNCTION end_surplus_sessions(bigint, bigint, uuid, bigint, text)")
    op.execute(
        "DELETE FROM sessions WHERE NOT EXISTS"
        " (SELECT FROM users WHERE users.id = sessions.user_id)"
    )
    op.create_foreign_key(
        "fk_sessions_user_id", "sessions", "users", ["user_id"], ["id"], ondelete="CASCADE"
    )
    op.drop_table("session_cleanups")
