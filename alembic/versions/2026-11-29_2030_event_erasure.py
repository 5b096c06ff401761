"""event erasure

Revision ID: 8e41c7a05b92
Revises: c7d20f5e83a1
Create Date: 2026-11-29 20:30:00+00:00
"""

from collections.abc import Sequence

from alembic import op

revision: str = "8e41c7a05b92"
down_revision: str | None = "c7d20f5e83a1"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# The application's role may not UPDATE events. This runs as the owner of the table, and leaves the
# event by which `plinth audit verify` recognizes the emptied rows as erased.
ERASE_EVENT_TRACES = """
CREATE FUNCTION erase_event_traces(
    p_erased_id bigint, p_actor_id bigint, p_session_id uuid, p_request_id text, p_reason text,
    p_ip inet, p_user_agent text, p_salt bytea, p_personal bytea
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    emptied bigint;
BEGIN
    IF p_erased_id IS NULL OR EXISTS (SELECT FROM users WHERE id = p_erased_id) THEN
        RAISE EXCEPTION 'the events of an account can be erased only after the account'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    UPDATE events SET ip = NULL, user_agent = NULL, salt = NULL
    WHERE salt IS NOT NULL
        AND (actor_id = p_erased_id OR (actor_id IS NULL AND subject_id = p_erased_id));
    GET DIAGNOSTICS emptied = ROW_COUNT;
    INSERT INTO events (
        event, outcome, actor_id, subject_id, session_id, request_id, reason, ip, user_agent, salt,
        personal
    ) VALUES (
        'user.erased', 'success', p_actor_id, p_erased_id, p_session_id, p_request_id, p_reason,
        p_ip, p_user_agent, p_salt, p_personal
    );
    RETURN emptied;
END
$$
"""
SIGNATURE = "erase_event_traces(bigint, bigint, uuid, text, text, inet, text, bytea, bytea)"

# Temporary tables come last: any role may create one of the name `events` or `users`.
FIX_SEARCH_PATH = f"""
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION chain_event() SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION {SIGNATURE} SET search_path = %I, pg_temp', current_schema());
END
$$
"""


def upgrade() -> None:
    op.execute(ERASE_EVENT_TRACES)
    op.execute(FIX_SEARCH_PATH)
    op.execute(f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC")


def downgrade() -> None:
    op.execute("ALTER FUNCTION chain_event() RESET search_path")
    op.execute(f"DROP FUNCTION {SIGNATURE}")
