"""events

Revision ID: 2f6b8d0c1e43
Revises: 7c1e0a4b9d25
Create Date: 2026-11-23 09:35:00+00:00
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "2f6b8d0c1e43"
down_revision: str | None = "7c1e0a4b9d25"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# One writer at a time until its commit, so that "the row before" is a fact: an event is written as
# the last statement of its transaction (app/services/audit.py). The number is the one after, not a
# sequence's, which would leave gaps where a transaction was undone.
CHAIN_EVENT = """
CREATE FUNCTION chain_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before events%ROWTYPE;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('events'));
    SELECT * INTO before FROM events ORDER BY id DESC LIMIT 1;
    NEW.id = coalesce(before.id, 0) + 1;
    NEW.at = clock_timestamp();
    NEW.hash = sha256(coalesce(before.hash, '') || event_content(NEW));
    RETURN NEW;
END
$$
"""

EVENT_CONTENT = """
CREATE FUNCTION event_content(e events) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT convert_to(jsonb_build_array(
        e.id,
        to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        e.event, e.outcome, e.actor_id, e.subject_id, e.session_id, e.request_id, e.reason,
        encode(e.personal, 'hex')
    )::text, 'UTF8')
$$
"""

# All that may ever change is that a person's traces go.
REFUSE_CHANGE = """
CREATE FUNCTION refuse_event_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.ip IS NULL AND NEW.user_agent IS NULL AND NEW.salt IS NULL THEN
        NEW.ip = OLD.ip;
        NEW.user_agent = OLD.user_agent;
        NEW.salt = OLD.salt;
        IF NEW IS NOT DISTINCT FROM OLD THEN
            NEW.ip = NULL;
            NEW.user_agent = NULL;
            NEW.salt = NULL;
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'events are only ever added' USING ERRCODE = 'insufficient_privilege';
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("at", sa.DateTime(True), server_default=sa.func.now(), nullable=False),
        sa.Column("event", sa.String(50), nullable=False),
        sa.Column("outcome", sa.String(10), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=True),
        sa.Column("subject_id", sa.BigInteger(), nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("request_id", sa.String(64), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("ip", postgresql.INET(), nullable=True),
        sa.Column("user_agent", sa.String(255), nullable=True),
        sa.Column("salt", sa.LargeBinary(16), nullable=True),
        sa.Column("personal", sa.LargeBinary(32), nullable=False),
        sa.Column("hash", sa.LargeBinary(32), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
    )
    op.create_index("ix_events_subject_id", "events", ["subject_id", sa.text("id DESC")])
    for function in (EVENT_CONTENT, CHAIN_EVENT, REFUSE_CHANGE):
        op.execute(function)
    op.execute(
        "CREATE TRIGGER chain_event BEFORE INSERT ON events"
        " FOR EACH ROW EXECUTE FUNCTION chain_event()"
    )
    op.execute(
        "CREATE TRIGGER refuse_event_change BEFORE UPDATE OR DELETE ON events"
        " FOR EACH ROW EXECUTE FUNCTION refuse_event_change()"
    )
    op.execute(
        "CREATE TRIGGER refuse_event_truncate BEFORE TRUNCATE ON events"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_event_change()"
    )
    # A role that owns the table may give itself the right again; the trigger stands in its way too.
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON events FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP FUNCTION event_content(events) CASCADE")
    op.drop_table("events")
    op.execute("DROP FUNCTION refuse_event_change()")
    op.execute("DROP FUNCTION chain_event()")
