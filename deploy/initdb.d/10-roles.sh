#!/bin/sh
# Creates the two roles, by packages/plinth/src/plinth/cli/db/roles.sql: an owner that migrates, and the application's, which
# may only use the tables. PostgreSQL's image runs this once, when the volume is new. The health check
# of compose.yaml runs it with `if-missing`, for a volume from before there were two roles; and by hand
# it sets the passwords of .env anew:
#
#   docker compose exec postgres sh /docker-entrypoint-initdb.d/10-roles.sh
set -eu

owner=${PLINTH_OWNER:-plinth_owner}
application=${PLINTH_APPLICATION:-plinth_app}

ask() {
    psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --tuples-only --no-align \
        --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" "$@"
}

if [ "${1-}" = if-missing ]; then
    found=$(ask --command "SELECT count(*) FROM pg_roles WHERE rolname IN ('$owner', '$application')")
    [ "$found" != 2 ] || exit 0
fi

# The passwords come by the environment: arguments are for everyone to read.
ask >/dev/null <<END
SET log_statement = 'none';
\\getenv owner_password PLINTH_OWNER_PASSWORD
\\getenv application_password PLINTH_APPLICATION_PASSWORD
SELECT set_config('plinth.owner', '$owner', false),
       set_config('plinth.owner_password', :'owner_password', false),
       set_config('plinth.application', '$application', false),
       set_config('plinth.application_password', :'application_password', false);
\\ir ${PLINTH_ROLES_SQL:-/plinth-roles.sql}
END
