-- Two roles for one database: the owner migrates, and the application's role uses the tables. Run
-- this in the database itself, as a role that may create roles. It can be run again: it sets the
-- passwords again and transfers tables of other roles to the owner. It reads these settings of the
-- session: plinth.owner, plinth.owner_password, plinth.application, plinth.application_password. An
-- empty password leaves the role's password unchanged.
DO $$
DECLARE
    owner text := current_setting('plinth.owner');
    application text := current_setting('plinth.application');
    item text;
BEGIN
    FOREACH item IN ARRAY ARRAY[owner, application] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = item) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', item);
        END IF;
    END LOOP;
    IF current_setting('plinth.owner_password') <> '' THEN
        EXECUTE format('ALTER ROLE %I PASSWORD %L', owner, current_setting('plinth.owner_password'));
    END IF;
    IF current_setting('plinth.application_password') <> '' THEN
        EXECUTE format(
            'ALTER ROLE %I PASSWORD %L', application, current_setting('plinth.application_password')
        );
    END IF;

    -- Without superuser, a role may only transfer objects between roles that it is a member of.
    IF NOT pg_has_role(owner, 'MEMBER') THEN
        EXECUTE format('GRANT %I TO %I', owner, current_user);
    END IF;
    -- The owner of a database owns its schema public (pg_database_owner), and may create the
    -- extensions that PostgreSQL trusts.
    EXECUTE format('ALTER DATABASE %I OWNER TO %I', current_database(), owner);
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO %I', current_database(), application);
    -- A database from before PostgreSQL 15 lets every role create tables.
    IF has_schema_privilege('public', 'public', 'CREATE') THEN
        REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    END IF;
    IF (SELECT nspowner <> 'pg_database_owner'::regrole FROM pg_namespace WHERE nspname = 'public') THEN
        EXECUTE format('ALTER SCHEMA public OWNER TO %I', owner);
    END IF;

    FOR item IN
        SELECT format(
            'ALTER %s %s OWNER TO %I',
            CASE relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW'
                WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END,
            class.oid::regclass, owner
        )
        FROM pg_class AS class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
            AND relowner <> owner::regrole AND NOT EXISTS (
                SELECT FROM pg_depend
                WHERE classid = 'pg_class'::regclass AND objid = class.oid
                    AND deptype IN ('e', 'a', 'i')
            )
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO %I', routine.oid::regprocedure, owner)
        FROM pg_proc AS routine
        WHERE pronamespace = 'public'::regnamespace AND proowner <> owner::regrole
            AND NOT EXISTS (
                SELECT FROM pg_depend
                WHERE classid = 'pg_proc'::regclass AND objid = routine.oid AND deptype = 'e'
            )
        UNION ALL
        SELECT format('ALTER TYPE %s OWNER TO %I', type.oid::regtype, owner)
        FROM pg_type AS type
        WHERE typnamespace = 'public'::regnamespace AND typowner <> owner::regrole
            AND typtype IN ('e', 'd') AND NOT EXISTS (
                SELECT FROM pg_depend
                WHERE classid = 'pg_type'::regclass AND objid = type.oid AND deptype = 'e'
            )
    LOOP
        EXECUTE item;
    END LOOP;
END
$$;
