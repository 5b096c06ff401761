#!/bin/sh
# The entrypoint of the container. It runs the migrations before `plinth serve`, and no migrations
# before other commands (`docker run plinth plinth doctor`). It execs the command, so that the
# server is process 1 and receives the signals.
#
#   MIGRATE_ON_START=0   skip the migrations: a job before the rollout runs them
#   WEB_CONCURRENCY=4    number of worker processes, read by `plinth serve`
set -eu

# The default password of PostgreSQL in compose.yaml, for development. It is public.
DEVELOPMENT_PASSWORD=development-only

refuse_public_password() {
    for password in "${POSTGRES_PASSWORD:-}" "${POSTGRES_MIGRATION_PASSWORD:-}"; do
        if [ "${ENVIRONMENT:-}" != development ] && [ "$password" = "$DEVELOPMENT_PASSWORD" ]; then
            echo "Plinth cannot start: POSTGRES_PASSWORD or POSTGRES_MIGRATION_PASSWORD is compose.yaml's development password, which everyone knows." >&2
            echo "Set POSTGRES_APP_PASSWORD and POSTGRES_OWNER_PASSWORD in .env (openssl rand -hex 24 for each);" >&2
            echo "docs/how-to/deploy.md describes how to change the password of an existing database." >&2
            exit 1
        fi
    done
}

# Several replicas can run this concurrently: the migrations take an advisory lock. The shell is
# process 1, which ignores SIGTERM without a handler, so the trap is required. The signal may arrive
# before the migration starts, when `$!` is unset, or after it ended; the exit code is 143 in each case.
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
    # The server must not have the password of the owner role. compose.yaml passes all of .env.
    unset MIGRATION_DATABASE_URL POSTGRES_MIGRATION_USER POSTGRES_MIGRATION_PASSWORD POSTGRES_OWNER_PASSWORD
fi

exec "$@"
