-- The deletion of old events: a prefix of the chain, behind a checkpoint that the application signs.

CREATE TABLE event_checkpoints (
    last_id bigint NOT NULL,
    hash bytea NOT NULL,
    newest_at timestamptz NOT NULL,
    deleted_at timestamptz NOT NULL,
    signature bytea NOT NULL,
    CONSTRAINT pk_event_checkpoints PRIMARY KEY (last_id)
);

-- As before, except that an event before the checkpoint can be deleted.
CREATE OR REPLACE FUNCTION refuse_event_change() RETURNS trigger LANGUAGE plpgsql AS $$
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
    IF TG_OP = 'DELETE' AND EXISTS (SELECT FROM event_checkpoints WHERE last_id >= OLD.id) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'events are only ever added' USING ERRCODE = 'insufficient_privilege';
END
$$;

-- The application's role may not DELETE events or change the checkpoint. This function runs as the
-- owner of the tables. It deletes the next events of the chain, stores their last one as the
-- checkpoint, and adds an event. It cannot check the signature, since the database has no key.
--
-- The lock of the chain comes last, because all other writers of events wait for it. Returns 0 if
-- other events have become the next ones, and NULL while another transaction deletes events.
CREATE FUNCTION prune_events(
    p_previous_id bigint, p_last_id bigint, p_hash bytea, p_newest_at timestamptz, p_deleted_at timestamptz,
    p_signature bytea, p_reason text, p_salt bytea, p_personal bytea
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    previous bigint;
    deleted bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('event_checkpoints')) THEN
        RETURN NULL;
    END IF;
    SELECT coalesce(max(last_id), 0) INTO previous FROM event_checkpoints;
    IF p_previous_id IS DISTINCT FROM previous THEN
        RETURN 0;
    END IF;
    -- The newest event stays, because the next one continues its number and hash.
    IF p_last_id IS NULL OR p_last_id NOT BETWEEN previous + 1 AND previous + 10000
        OR NOT EXISTS (
            SELECT FROM events WHERE id = p_last_id AND hash = p_hash AND at = p_newest_at
        )
        OR NOT EXISTS (SELECT FROM events WHERE id > p_last_id)
    THEN
        RAISE EXCEPTION 'the events to delete must be the next ones of the chain, 10000 at most'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    DELETE FROM event_checkpoints;
    INSERT INTO event_checkpoints (last_id, hash, newest_at, deleted_at, signature)
    VALUES (p_last_id, p_hash, p_newest_at, p_deleted_at, p_signature);
    DELETE FROM events
    WHERE id > previous AND id <= p_last_id AND at < now() - interval '30 days';
    GET DIAGNOSTICS deleted = ROW_COUNT;
    IF deleted <> p_last_id - previous THEN
        RAISE EXCEPTION 'an event to delete is missing, or younger than 30 days'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO events (event, outcome, reason, salt, personal)
    VALUES ('events.pruned', 'success', p_reason, p_salt, p_personal);
    RETURN deleted;
END
$$;

-- After a change of SECRET_KEY, the application signs the checkpoint again.
CREATE FUNCTION resign_event_checkpoint(p_last_id bigint, p_signature bytea)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    UPDATE event_checkpoints SET signature = p_signature WHERE last_id = p_last_id;
    RETURN FOUND;
END
$$;

-- `pg_temp` comes last, because any role may create a temporary table of one of these names.
DO $$
DECLARE
    name regprocedure;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'refuse_event_change()'::regprocedure,
        'prune_events(bigint, bigint, bytea, timestamptz, timestamptz, bytea, text, bytea, bytea)',
        'resign_event_checkpoint(bigint, bytea)'
    ] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', name, current_schema());
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION prune_events(
    bigint, bigint, bytea, timestamptz, timestamptz, bytea, text, bytea, bytea
) FROM PUBLIC;
REVOKE ALL ON FUNCTION resign_event_checkpoint(bigint, bytea) FROM PUBLIC;
