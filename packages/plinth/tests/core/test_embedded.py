"""The embedded services with real processes, which must all end, also after a kill.

The tests read the running processes from /proc, not from the lock files of the code under test.
"""

import fcntl
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from plinth.devservices import EmbeddedError, Endpoints, folders, postgres_bin, services, sharing
from plinth.devservices.processes import Account
from tests.support.waiting import PATIENCE

if not Path("/proc/self/cwd").exists():
    pytest.skip("these tests look for processes in /proc", allow_module_level=True)

AS_ROOT = os.geteuid() == 0
ROOT = Path(__file__).parents[4]
LIBRARY = ROOT / "packages" / "plinth" / "src"

# Uses the services until its input ends. Given a user's number, root becomes that user first.
USER = """
import os, signal, sys
from pathlib import Path
from plinth.devservices import services
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's "&" has it ignored
folder, kinds, uid = sys.argv[1:]
if uid:
    os.setgroups([]), os.setresgid(*[int(uid)] * 3), os.setresuid(*[int(uid)] * 3)
asked = {"postgres": "p" in kinds, "valkey": "v" in kinds, "durable": "fast" not in kinds}
with services(Path(folder), **asked) as endpoints:
    print(endpoints.database_url, endpoints.redis_url, endpoints.owner_url, flush=True)
    try:
        sys.stdin.read()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.stdin.read()
        raise
"""

# Has two forked children: one leaves the block first, on its own copy of all; one stays for longer.
FORKING_USER = """
import os, sys, time
from pathlib import Path
from plinth.devservices import services
with services(Path(sys.argv[1]), postgres=False) as endpoints:
    if (leaver := os.fork()) == 0:
        sys.exit()
    os.waitpid(leaver, 0)
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)
    print(endpoints.database_url, endpoints.redis_url, endpoints.owner_url, flush=True)
    sys.stdin.readline()
"""

WITHOUT_PACKAGES = """
from pathlib import Path
from plinth.devservices import EmbeddedError, postgres_bin, services
assert postgres_bin() is None
for kind in ("postgres", "valkey"):
    try:
        with services(Path("/nowhere"), **{"postgres": False, "valkey": False, kind: True}):
            pass
    except EmbeddedError as error:
        print(error)
"""

Process = subprocess.Popen[str]
Run = Callable[..., Process]


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A data folder whose cluster exists already, because initdb takes most of a first start."""
    with short_folder() as place:
        with no_processes_left(place), services(place, durable=False):
            pass
        yield place


@pytest.fixture
def folder(made: Path) -> Iterator[Path]:
    with no_processes_left(made):
        yield made


@pytest.fixture
def empty() -> Iterator[Path]:
    with short_folder() as place, no_processes_left(place):
        yield place


@pytest.fixture
def run() -> Iterator[Run]:
    """Start a process that uses the services, in a group of its own as a terminal would."""
    started: list[Process] = []

    def start(folder: Path, kinds: str = "pv", uid: str = "", script: str = USER) -> Process:
        process = subprocess.Popen(
            [sys.executable, "-c", script, folder, kinds, uid],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:  # waits, and closes its pipes
            process.kill()


@contextmanager
def short_folder() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(dir="/tmp", prefix="pl-"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def no_processes_left(place: Path) -> Iterator[None]:
    try:
        yield
    finally:
        left = living(place)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    assert not left, f"processes left behind: {left}"


def entered(process: Process) -> Endpoints:
    assert process.stdout
    if not (line := process.stdout.readline()):
        raise AssertionError(process.communicate()[1])
    database, cache, owner = (None if word == "None" else word for word in line.split())
    return Endpoints(database_url=database, redis_url=cache, owner_url=owner)


def leave(process: Process) -> None:
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said


def living(folder: Path) -> list[int]:
    """The servers' processes that work below this folder. A zombie works nowhere."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            inside = (process / "cwd").readlink().is_relative_to(folder)
            kind = (process / "comm").read_text().strip()
        except OSError:  # it ended, or is not ours
            continue
        if inside and kind in {"postgres", "initdb", "valkey-server"}:
            found.append(int(process.name))
    return found


def postmaster(folder: Path) -> int:
    return int((folder / "postgres" / "postmaster.pid").read_text().split()[0])


def owner_of_process(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def psql(endpoints: Endpoints, statement: str, database: str = "plinth") -> str:
    programs = postgres_bin()
    assert programs
    assert endpoints.owner_url
    url = endpoints.owner_url.replace("/plinth?", f"/{database}?")
    command = [str(programs / "psql"), "-XAtqc", statement, url]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def redis(endpoints: Endpoints) -> Redis:
    assert endpoints.redis_url
    return Redis.from_url(endpoints.redis_url, decode_responses=True)


def answers(endpoints: Endpoints) -> bool:
    with redis(endpoints) as client:
        return bool(client.ping())


def wait_for(done: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < until
        time.sleep(0.002)


def test_first_user_starts_and_last_user_stops_the_servers(folder: Path, run: Run) -> None:
    first, second = run(folder), run(folder)
    endpoints = entered(first)
    assert entered(second) == endpoints
    leave(first)
    assert psql(endpoints, "SELECT lower('ÄЖ'), current_setting('fsync')") == "äж|on"
    with redis(endpoints) as client:
        client.set("key", "value")
    leave(second)
    assert not living(folder)
    with services(folder, postgres=False) as again, redis(again) as client:
        assert client.get("key") == "value"


def test_concurrent_starts_share_one_server(empty: Path, run: Run) -> None:
    processes = [run(empty) for _ in range(6)]
    assert len({entered(process) for process in processes}) == 1
    assert (empty / "postgres.log").read_text().count("starting PostgreSQL") == 1
    assert (empty / "valkey.log").read_text().count("Valkey is starting") == 1
    with ThreadPoolExecutor() as pool:
        list(pool.map(leave, processes))


def test_server_of_a_killed_user_is_adopted(folder: Path, run: Run) -> None:
    process = run(folder)
    endpoints = entered(process)
    psql(endpoints, "CREATE TABLE before_kill AS SELECT 7 AS number")
    process.kill()
    process.wait()
    orphans = living(folder)
    assert postmaster(folder) in orphans
    with services(folder) as adopted:
        assert adopted == endpoints
        assert postmaster(folder) in orphans
        assert psql(adopted, "SELECT number FROM before_kill") == "7"
    assert not living(folder)


def test_killed_postgres_recovers_acknowledged_commits(folder: Path) -> None:
    with services(folder, valkey=False) as outer:
        psql(outer, "CREATE TABLE acknowledged (number int)")
        psql(outer, "INSERT INTO acknowledged VALUES (7)")
        os.kill(postmaster(folder), signal.SIGKILL)
        with services(folder, valkey=False) as inner:
            assert psql(inner, "SELECT number FROM acknowledged") == "7"
        assert psql(outer, "SELECT 1") == "1", "the new server is the outer user's too"


def test_stale_pid_file_with_a_reused_pid_does_not_prevent_the_start(folder: Path) -> None:
    stale = [folder / "postgres" / "postmaster.pid", folder / "run" / ".s.PGSQL.5432.lock"]
    with services(folder, valkey=False):
        owner = stale[0].stat().st_uid
        left = {path: path.read_text().partition("\n")[2] for path in stale}
        os.kill(postmaster(folder), signal.SIGKILL)
    with subprocess.Popen(["sleep", "60"], user=owner if AS_ROOT else None) as other:
        for path, rest in left.items():
            path.write_text(f"{other.pid}\n{rest}")
            os.chown(path, owner, -1)
        try:
            with services(folder, valkey=False) as endpoints:
                assert psql(endpoints, "SELECT 1") == "1"
            assert other.poll() is None
        finally:
            other.kill()


def test_postgres_started_by_another_program_is_left_alone(folder: Path) -> None:
    with services(folder, valkey=False) as endpoints:
        (folder / "postgres.server").unlink()  # nothing says any more that it is ours
        with pytest.raises(EmbeddedError, match="in use by another PostgreSQL"), services(folder):
            pass
        assert psql(endpoints, "SELECT 1") == "1"


def test_ctrl_c_stops_in_order(folder: Path, run: Run) -> None:
    process = run(folder)
    endpoints = entered(process)
    psql(endpoints, "CREATE TABLE before_ctrl_c AS SELECT 7 AS number")
    os.killpg(process.pid, signal.SIGINT)
    assert process.stdout
    assert process.stdout.readline() == "interrupted\n"
    time.sleep(0.2)
    assert psql(endpoints, "SELECT number FROM before_ctrl_c") == "7", "Ctrl-C reached PostgreSQL"
    assert answers(endpoints), "Ctrl-C reached Valkey"
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert not living(folder)
    assert "system is shut down" in (folder / "postgres.log").read_text().splitlines()[-1]
    with services(folder, valkey=False) as again:
        assert psql(again, "SELECT number FROM before_ctrl_c") == "7"


def test_second_ctrl_c_does_not_interrupt_the_shutdown(folder: Path, run: Run) -> None:
    process = run(folder, "v")
    entered(process)
    with (folder / "valkey.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # keeps it in the middle of leaving
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdin
        process.stdin.close()
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.1)
        assert living(folder)
    process.wait(30)
    assert not living(folder)


def fail(error: type[BaseException]) -> None:
    raise error


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, ValueError])
def test_exception_inside_stops_the_servers(folder: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), services(folder, postgres=False):
        fail(error)
    assert not living(folder)


def test_nested_and_concurrent_uses_in_one_process(folder: Path) -> None:
    def use(_: int) -> bool:
        with services(folder, postgres=False) as endpoints:
            return answers(endpoints)

    with services(folder, postgres=False):
        before = living(folder)
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(use, range(8)))
        assert living(folder) == before
    assert not living(folder)


def test_forked_child_neither_stops_nor_holds_the_servers(folder: Path, run: Run) -> None:
    process = run(folder, script=FORKING_USER)
    try:
        assert answers(entered(process))
        assert process.stdin
        process.stdin.close()
        assert process.wait(30) == 0
        assert not living(folder)
        with services(folder, postgres=False) as endpoints:
            assert answers(endpoints)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the child that stays


def test_data_folder_removed_while_in_use_stops_the_servers(empty: Path) -> None:
    with services(empty):
        assert living(empty)
        shutil.rmtree(empty)
    assert not living(empty)


def test_frozen_server_is_woken_and_stopped(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with services(folder, postgres=False):
        [server] = living(folder)
        os.kill(server, signal.SIGSTOP)
    assert not living(folder)
    assert not caplog.messages, "it had to be killed"


@pytest.mark.parametrize("version", [None, "15\n"])
def test_folder_of_another_cluster_is_refused_and_unchanged(
    empty: Path, version: str | None
) -> None:
    cluster = empty / "postgres"
    (cluster / "base").mkdir(parents=True)
    if version:
        (cluster / "PG_VERSION").write_text(version)
    before = [(path, path.stat().st_ctime_ns) for path in [cluster, *cluster.rglob("*")]]
    with pytest.raises(EmbeddedError, match="set DATA_DIR to another") as caught, services(empty):
        pass
    assert str(cluster) in str(caught.value)
    assert [(path, path.stat().st_ctime_ns) for path in [cluster, *cluster.rglob("*")]] == before


def test_incomplete_cluster_is_not_used(empty: Path, run: Run) -> None:
    process = run(empty, "p")
    wait_for(lambda: any(empty.glob("postgres.tmp-*/PG_VERSION")))
    process.kill()  # and its initdb works on
    process.wait()
    assert not (empty / "postgres").exists()
    with services(empty, valkey=False, durable=False) as endpoints:
        assert psql(endpoints, "SELECT 1") == "1"
        assert not [*empty.glob("postgres.tmp-*")]


def test_ctrl_c_during_initdb_leaves_no_files(empty: Path, run: Run) -> None:
    process = run(empty, "p fast")
    wait_for(lambda: any(empty.glob("postgres.tmp-*/base/5")))  # the last of initdb's work
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT, said
    assert not living(empty)
    assert not [*empty.glob("postgres.tmp-*")]


def test_failed_start_reports_the_last_log_lines(folder: Path) -> None:
    control = folder / "postgres" / "global" / "pg_control"
    aside = control.rename(folder / "aside")
    try:
        with pytest.raises(EmbeddedError, match=r"could not .*pg_control.*postgres\.log") as caught:
            services(folder, valkey=False).__enter__()
        assert "\n" not in str(caught.value)
    finally:
        aside.rename(control)


def test_dropped_database_is_created_again(folder: Path) -> None:
    with services(folder, valkey=False) as endpoints:
        psql(endpoints, "DROP DATABASE plinth", "postgres")
        with services(folder, valkey=False):
            assert psql(endpoints, "SELECT current_database()") == "plinth"


@pytest.mark.parametrize(("name", "kinds"), [("long-" * 20, "pv"), ("a comma, a % and ü", "v")])
def test_long_or_unusual_path_has_its_sockets_elsewhere(
    empty: Path, name: str, kinds: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = use_temporary_folder(empty / "tmp", monkeypatch)
    with services(empty / name, postgres="p" in kinds, durable=False) as endpoints:
        places = [*elsewhere.iterdir()]
        assert len(places) == len(kinds)
        assert all(stat.S_IMODE(place.stat().st_mode) == 0o700 for place in places)
        # A process with another temporary folder finds them as well.
        monkeypatch.setenv("TMPDIR", str(empty))
        process = run(empty / name, kinds)
        assert entered(process) == endpoints
        assert answers(endpoints)
        if "p" in kinds:
            assert psql(endpoints, "SELECT 1") == "1"
        leave(process)
    assert not [*elsewhere.iterdir()]


def test_socket_folder_open_to_other_users_is_refused(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = empty / ("long-" * 20)
    elsewhere = use_temporary_folder(empty / "tmp", monkeypatch)
    with services(data_dir, postgres=False):
        [place] = elsewhere.iterdir()
    place.mkdir(mode=0o755)
    with pytest.raises(EmbeddedError, match="open to others"):
        services(data_dir, postgres=False).__enter__()


def use_temporary_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def test_servers_run_as_an_unprivileged_user(empty: Path, run: Run) -> None:
    user = pwd.getpwnam("nobody").pw_uid if AS_ROOT else os.geteuid()
    programs = postgres_bin()
    assert programs
    if AS_ROOT:  # the environment may lie in root's home, which only a use by root opens
        folders.allow_traversal(Account(user, user), [programs / "postgres"])
        os.chown(empty, user, user)
    process = run(empty, "pv", str(user) if AS_ROOT else "")
    entered(process)
    assert {owner_of_process(pid) for pid in living(empty)} == {user}
    assert stat.S_IMODE(empty.stat().st_mode) == 0o700
    leave(process)
    assert not living(empty)
    with services(empty, valkey=False) as endpoints:  # root's PostgreSQL runs as that user then
        assert psql(endpoints, "SELECT 1") == "1"
        assert owner_of_process(postmaster(empty)) == user


def test_root_opens_only_the_path_to_the_data_folder(
    empty: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", folders.__name__)
    data_dir = empty / "closed" / "data"
    data_dir.mkdir(mode=0o700, parents=True)
    with services(data_dir, valkey=False, durable=False) as endpoints:
        assert psql(endpoints, "SELECT 1") == "1"
        owner = owner_of_process(postmaster(data_dir))
    assert owner == (pwd.getpwnam("plinth-postgres").pw_uid if AS_ROOT else os.geteuid())
    for place in (empty, data_dir):
        assert stat.S_IMODE(place.stat().st_mode) == (0o701 if AS_ROOT else 0o700)
        assert any(f"{place}," in message for message in caplog.messages) is AS_ROOT
    assert stat.S_IMODE((data_dir / "postgres").stat().st_mode) == 0o700
    assert stat.S_IMODE((data_dir / "run").stat().st_mode) == 0o700


def test_unusable_folder_is_reported_in_one_sentence(empty: Path) -> None:
    (empty / "file").touch()
    with pytest.raises(EmbeddedError, match="set DATA_DIR"), services(empty / "file" / "data"):
        pass


def test_stuck_process_with_the_lock_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("LOCK_SECONDS", "STOP_SECONDS"):
        monkeypatch.setattr(sharing, bound, 0.2)
    with (folder / "valkey.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(EmbeddedError, match="stop that process"):
            services(folder, postgres=False).__enter__()


def test_missing_packages_error_lists_both_solutions() -> None:
    command = [sys.executable, "-S", "-c", WITHOUT_PACKAGES]  # -S: no site-packages
    done = subprocess.run(command, cwd=LIBRARY, capture_output=True, check=True, text=True)
    postgres, valkey = done.stdout.splitlines()
    assert "make install" in postgres
    assert "set DATABASE_URL" in postgres
    assert "make install" in valkey
    assert "set REDIS_URL" in valkey
