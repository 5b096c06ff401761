"""Privileges of the application's role on tables that belong to another role.

The owner (`MIGRATION_DATABASE_URL`) grants them after each migration and each restore.
"""

from plinth.config.urls.postgres_url import read_postgres_url
from plinth.db.tenancy import MAINTENANCE_SETTING, TENANT_POLICY

MAINTENANCE_POLICY = "tenant_maintenance"
IS_MAINTENANCE = f"current_setting('{MAINTENANCE_SETTING}', true) = 'on'"
SET_ROLE_NAME = "SELECT set_config('plinth.application_role', $1, true)"

# The application may only add rows to `events`. It erases personal data and deletes old rows by
# functions that record it. It gets no privilege to alter a table, a function or a trigger.
GRANT = """
DO $$
DECLARE
    role_name text := current_setting('plinth.application_role');
    schema_name text := current_schema();
    changes regprocedure[] := array_remove(ARRAY[
        to_regprocedure(
            'erase_event_traces(bigint, bigint, uuid, text, text, inet, text, bytea, bytea)'
        ),
        to_regprocedure(
            'prune_events(bigint, bigint, bytea, timestamptz, timestamptz, bytea, text, bytea,'
            ' bytea)'
        ),
        to_regprocedure('resign_event_checkpoint(bigint, bytea)')
    ], NULL);
    change regprocedure;
    rights text := 'SELECT, INSERT, UPDATE, DELETE';
BEGIN
    FOREACH change IN ARRAY changes LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', change);
    END LOOP;
    IF role_name = '' OR role_name = current_user
        OR NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name)
    THEN
        RETURN;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', schema_name, role_name);
    EXECUTE format('GRANT %s ON ALL TABLES IN SCHEMA %I TO %I', rights, schema_name, role_name);
    EXECUTE format(
        'GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %I TO %I', schema_name, role_name
    );
    EXECUTE format(
        'ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT %s ON TABLES TO %I',
        schema_name, rights, role_name
    );
    EXECUTE format(
        'ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT USAGE, SELECT ON SEQUENCES TO %I',
        schema_name, role_name
    );
    IF to_regclass('alembic_version') IS NOT NULL THEN
        EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM %I', role_name);
    END IF;
    IF to_regclass('events') IS NOT NULL THEN
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE, TRIGGER ON events FROM %I', role_name);
    END IF;
    IF to_regclass('event_checkpoints') IS NOT NULL THEN
        EXECUTE format('REVOKE ALL ON event_checkpoints FROM %I', role_name);
        EXECUTE format('GRANT SELECT ON event_checkpoints TO %I', role_name);
    END IF;
    FOREACH change IN ARRAY changes LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', change, role_name);
    END LOOP;
    IF to_regprocedure('plinth_schema_version()') IS NOT NULL THEN
        EXECUTE format('GRANT EXECUTE ON FUNCTION plinth_schema_version() TO %I', role_name);
    END IF;
END
$$
"""


# The policy names its role, so it is created again when a table has a new owner: after `plinth db
# roles` or a restore.
RENEW_MAINTENANCE_POLICIES = f"""
DO $$
DECLARE
    owned regclass;
BEGIN
    FOR owned IN
        SELECT class.oid FROM pg_class AS class JOIN pg_policy ON polrelid = class.oid
        WHERE polname = '{TENANT_POLICY}' AND relowner = current_user::regrole AND NOT EXISTS (
            SELECT FROM pg_policy WHERE polrelid = class.oid
                AND polname = '{MAINTENANCE_POLICY}' AND relowner = ALL (polroles)
        )
    LOOP
        EXECUTE format('DROP POLICY IF EXISTS {MAINTENANCE_POLICY} ON %s', owned);
        EXECUTE format($policy${{policy}}$policy$, owned);
    END LOOP;
END
$$
"""  # noqa: S608 - constants


def maintenance_policy(table: str, role: str) -> str:
    """Return the SQL of the policy that lets the owner cross tenants, if it says so.

    The policies bind the owner too (FORCE). It names the owner, because a second policy of the
    application's role would prevent the use of an index.
    """
    return (
        f"CREATE POLICY {MAINTENANCE_POLICY} ON {table} TO {role}"
        f" USING ({IS_MAINTENANCE}) WITH CHECK ({IS_MAINTENANCE})"
    )


def renew_maintenance_policies() -> str:
    return RENEW_MAINTENANCE_POLICIES.format(policy=maintenance_policy("%s", "CURRENT_ROLE"))


def find_role(url: str) -> str:
    """Return the role in a URL; empty if the URL has none."""
    return read_postgres_url(url).user or ""
