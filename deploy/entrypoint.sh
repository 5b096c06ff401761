#!/bin/sh
# What the container starts with. In front of `plinth serve` it migrates; any other command
# (`docker run plinth plinth doctor`) it only runs. It ends in exec, so that the server is process 1
# and gets the signals.
#
#   MIGRATE_ON_START=0   the migrations run elsewhere (a job before the roll-out)
#   WEB_CONCURRENCY=4    worker processes; `plinth serve` reads it
set -eu

# The password that compose.yaml gives PostgreSQL on a developer's machine. It is public.
DEVELOPMENT_PASSWORD=development-only

refuse_public_password() {
    for password in "${POSTGRES_PASSWORD:-}" "${POSTGRES_MIGRATION_PASSWORD:-}"; do
        if [ "${ENVIRONMENT:-}" != development ] && [ "$password" = "$DEVELOPMENT_PASSWORD" ]; then
            echo "Plinth cannot start: POSTGRES_PASSWORD or POSTGRES_MIGRATION_PASSWORD is compose.yaml's development password, which everyone knows." >&2
            echo "Set POSTGRES_APP_PASSWORD and POSTGRES_OWNER_PASSWORD in .env (openssl rand -hex 24 for each);" >&2
            echo "docs/how-to/deploy.md says how to change a database that has it." >&2
            exit 1
        fi
    done
}

# Any number of replicas may do this at once: the migrations hold an advisory lock. The shell is
# process 1 here, and process 1 without a handler does not hear SIGTERM; hence the trap. It may be
# asked before the migration runs, when `$!` is unset, and after: neither may keep it from 143.
migrate() {
    trap 'kill -TERM ${!-} 2>/dev/null || :; wait; exit 143' TERM INT
    plinth db upgrade &
    wait "$!"
    trap - TERM INT
}

if [ "${1-} ${2-}" = "plinth serve" ]; then
    refuse_public_password
    case "${MIGRATE_ON_START:-1}" in
        0 | false | no) ;;
        *) migrate ;;
    esac
    # The server has no use for the owner of the tables. compose.yaml passes all of .env.
    unset MIGRATION_DATABASE_URL POSTGRES_MIGRATION_USER POSTGRES_MIGRATION_PASSWORD POSTGRES_OWNER_PASSWORD
fi

exec "$@"
