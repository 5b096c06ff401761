"""PostgreSQL, reachable only by a Unix socket in a private folder."""

import logging
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from plinth.devservices.folders import allow_traversal
from plinth.devservices.packages import EmbeddedError, require_postgres_bin
from plinth.devservices.processes import Account, read_tail, run_to_end, wait_until
from plinth.devservices.sharing import Service, Start
from plinth.devservices.wire import ask_postgres

logger = logging.getLogger(__name__)

OWNER = "postgres"
APPLICATION = "plinth_app"
DATABASE = "plinth"
SOCKET = ".s.PGSQL.5432"
INITDB_SECONDS = 60
USER = "plinth-postgres"  # of the system; runs the server if this process is root
USERADD_SECONDS = 10

# https://www.postgresql.org/docs/18/errcodes-appendix.html
DONE = "00000"
NO_SUCH_ROLE = "28000"  # invalid_authorization_specification
NO_SUCH_DATABASE = "3D000"
TOO_MANY_CONNECTIONS = "53300"


def postgres_service(*, durable: bool) -> Service:
    programs = require_postgres_bin()
    return Service(
        name="postgres",
        sockets=(SOCKET, f"{SOCKET}.lock"),
        stop_signal=signal.SIGINT,  # "fast": roll back, disconnect, checkpoint
        prepare=partial(prepare, programs, durable),
        command=partial(command, programs, durable),
        ready=ready,
    )


def database_url(run: Path, role: str) -> str:
    return f"postgresql://{role}@/{DATABASE}?host={run}"


def prepare(programs: Path, durable: bool, start: Start) -> Account | None:
    cluster = start.data_dir / "postgres"
    check_cluster(cluster, programs)
    account = find_account(cluster)
    if account:
        allow_traversal(account, [programs / "postgres", cluster])
    if not cluster.exists():
        make_cluster(cluster, programs, durable, account, start)
    remove_stale_pid(cluster)
    return account


def check_cluster(cluster: Path, programs: Path) -> None:
    if not cluster.exists():
        return
    try:
        found = (cluster / "PG_VERSION").read_text(errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        raise EmbeddedError(
            f"{cluster} is not a PostgreSQL data folder (PG_VERSION is missing): move it, or set "
            "DATA_DIR to another folder."
        ) from None
    ours = packaged_version(programs)
    if found != ours:
        raise EmbeddedError(
            f"{cluster} was created by PostgreSQL {found}; PostgreSQL {ours} is installed: dump it "
            "with the old version and move it, or set DATA_DIR to another folder."
        )


def packaged_version(programs: Path) -> str:
    """Return the major version, from the first line of the file that initdb reads."""
    with (programs.parent / "share" / "postgres.bki").open() as file:
        return file.readline().split()[-1]


def make_cluster(
    cluster: Path, programs: Path, durable: bool, account: Account | None, start: Start
) -> None:
    """Create the cluster under a temporary name, so that an incomplete one is never used."""
    for stale in cluster.parent.glob("postgres.tmp-*"):
        shutil.rmtree(stale)
    incomplete = cluster.with_name(f"postgres.tmp-{os.getpid()}")
    incomplete.mkdir(mode=0o700)
    try:
        if account:
            os.chown(incomplete, account.uid, account.gid)
        initdb: list[str | Path] = [
            programs / "initdb",
            "--pgdata",
            incomplete,
            *initdb_options(durable=durable),
        ]
        run_initdb(initdb, account, start)
        incomplete.rename(cluster)
    except BaseException:
        shutil.rmtree(incomplete, ignore_errors=True)
        raise
    if durable:
        sync_folder(cluster.parent)


def run_initdb(initdb: Sequence[str | Path], account: Account | None, start: Start) -> None:
    # initdb keeps the state file locked: if this process is killed, the next one waits.
    if not run_to_end(
        initdb, log=start.log, timeout=INITDB_SECONDS, account=account, keep=[start.state]
    ):
        why = read_tail(start.log, start.log_since)
        raise EmbeddedError(f"initdb failed ({why}): see {start.data_dir}/postgres.log.")


def initdb_options(*, durable: bool) -> list[str]:
    # The built-in C.UTF-8 is the same on every machine, and its lower() covers all letters.
    return [
        f"--username={OWNER}",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
        *([] if durable else ["--no-sync"]),
    ]


def sync_folder(folder: Path) -> None:
    """Sync the folder, so that the new name survives a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_stale_pid(cluster: Path) -> None:
    """Remove the pid file of a killed server: PostgreSQL refuses to start if the id is reused."""
    path = cluster / "postmaster.pid"
    if not path.exists():
        return
    pid, _, _, port, folder, *_ = [*path.read_text(errors="replace").splitlines(), *[""] * 5]
    if folder and ask_postgres(Path(folder, f".s.PGSQL.{port}"), OWNER, OWNER):
        raise EmbeddedError(
            f"{cluster} is in use by another PostgreSQL (process {pid}): stop it and try again."
        )
    path.unlink()


def command(
    programs: Path,
    durable: bool,
    data_dir: Path,
    run: Path,
) -> Sequence[str | Path]:
    settings = {
        "listen_addresses": "",
        "port": "5432",
        "unix_socket_directories": str(run),
        "unix_socket_permissions": "0700",
        "max_connections": "200",
    }
    if not durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    options = [f"--{name}={value}" for name, value in settings.items()]
    return [programs / "postgres", "-D", data_dir / "postgres", *options]


def ready(data_dir: Path, run: Path) -> bool:
    """Return whether the server accepts connections. Create a missing database or role."""
    try:
        # Each connection before this state is a FATAL line in the log.
        if (data_dir / "postgres" / "postmaster.pid").read_bytes().split()[-1:] != [b"ready"]:
            return False
    except FileNotFoundError:
        return False
    answer = ask_postgres(run / SOCKET, APPLICATION, DATABASE)
    if answer == NO_SUCH_ROLE:
        ask_postgres(run / SOCKET, OWNER, OWNER, f"CREATE ROLE {APPLICATION} LOGIN")
        answer = ask_postgres(run / SOCKET, APPLICATION, DATABASE)
    if answer == NO_SUCH_DATABASE:
        answer = ask_postgres(run / SOCKET, OWNER, OWNER, f"CREATE DATABASE {DATABASE}")
    return answer in (DONE, TOO_MANY_CONNECTIONS)


def find_account(cluster: Path) -> Account | None:
    """Return the account to run the server as; None for the current user.

    For root, it is the owner of the cluster, so that a copied folder stays usable, or else the
    system user.
    """
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (found := cluster.stat()).st_uid != 0:
        return Account(found.st_uid, found.st_gid)
    return find_system_user() or create_system_user()


def find_system_user() -> Account | None:
    try:
        found = pwd.getpwnam(USER)
    except KeyError:
        return None
    return Account(found.pw_uid, found.pw_gid)


def create_system_user() -> Account:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        raise EmbeddedError(
            "PostgreSQL refuses to run as root, and useradd is not installed: run as another user, "
            "or set DATABASE_URL to your own PostgreSQL."
        )
    command = [useradd, "--system", "--user-group", "--no-create-home", "--home-dir=/nonexistent"]
    command += ["--shell=/usr/sbin/nologin", USER]

    def created() -> bool:
        """Retry: useradd fails if another process creates the user at the same time."""
        run_to_end(command, log=subprocess.DEVNULL, timeout=USERADD_SECONDS)
        return find_system_user() is not None

    if not wait_until(created, USERADD_SECONDS) or not (account := find_system_user()):
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root, and useradd could not create the user {USER}: "
            "create that user, or set DATABASE_URL to your own PostgreSQL."
        )
    logger.info("Created the system user %s, because PostgreSQL refuses to run as root", USER)
    return account
