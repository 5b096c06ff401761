-- Without the checkpoint, `plinth audit verify` of the previous version reports deleted events as
-- missing.
-- squawk-ignore-file
DROP FUNCTION resign_event_checkpoint(bigint, bytea);
DROP FUNCTION prune_events(
    bigint, bigint, bytea, timestamptz, timestamptz, bytea, text, bytea, bytea
);
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
    RAISE EXCEPTION 'events are only ever added' USING ERRCODE = 'insufficient_privilege';
END
$$;
DROP TABLE event_checkpoints;
