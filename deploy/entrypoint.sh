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
    if [ "${ENVIRONMENT:-}" != development ] && [ "${POSTGRES_PASSWORD:-}" = "$DEVELOPMENT_PASSWORD" ]; then
        echo "Plinth cannot start: POSTGRES_PASSWORD is compose.yaml's development password, which everyone knows." >&2
        echo "Set your own in .env (openssl rand -hex 24); docs/deploy.md says how to change a database that has it." >&2
        exit 1
    fi
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
fi

exec "$@"
