"""The median latency of a normal client during an attack, and the memory of the server.

The server has one core to itself. The normal client, PostgreSQL, Valkey and the attackers share the
others. As root, all but the attackers run with real-time priority. Otherwise other load on the
machine may delay each wake-up by some milliseconds.
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.attackers import SERVER_CORE
from tests.faults.conftest import Measured
from tests.support.environment import PACKAGE
from tests.support.postgres import OwnPostgres
from tests.support.serving import Serving, serving
from tests.support.valkey import OwnValkey

LONG = bool(os.environ.get("LONG"))
SECONDS = 60 if LONG else 2
ORDINARY_SECONDS = 3 if LONG else 1
REST = 60  # seconds that the memory may take to shrink
MIN_REQUESTS = 10
WARM_UP = 0.5
TRIES = 4
SLOWER = 3  # times the median during an equal load of ordinary requests
MIB_AT_MOST = 200
MAX_MEMORY_RATIO = 1.2  # times the memory at the start
ACCOUNT = {"email": "normal@example.com", "username": "normal", "password": "Correct-Horse-7"}
ORDINARY = "ordinary"
FIRST, SECOND, THIRD = 3, 2, 1  # real-time priorities


@dataclass(slots=True)
class Target:
    """
    Attributes:
        start: the memory before the first attack, in MiB.
    """

    serving: Serving
    port: int
    token: str = ""
    start: float = 0

    def renew_token(self) -> None:
        """Sign in again: the token expires, and a hundred newer sessions end its session."""
        self.token = post(self.port, "/api/v1/auth/login", ACCOUNT)["access_token"]

    def ask_for_me(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {self.token}"}
        connection.request("GET", "/api/v1/users/me", headers=headers)
        return connection.getresponse()

    def sign_in(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/api/v1/auth/login", json.dumps(ACCOUNT), headers)
        return connection.getresponse()

    @property
    def memory(self) -> float:
        """Resident memory in MiB."""
        return self._read_memory("VmRSS")

    @property
    def peak(self) -> float:
        """Maximum resident memory since `forget_peak`, in MiB."""
        return self._read_memory("VmHWM")

    def claim_core(self) -> None:
        """Bind the threads of the server to its core.

        Call it again later: the server starts hashing threads on demand, at a lower priority.
        """
        _give_cores(self.serving.process.pid, {SERVER_CORE}, SECOND | os.SCHED_RESET_ON_FORK)

    def forget_peak(self) -> None:
        self._process.joinpath("clear_refs").write_text("5")

    def _read_memory(self, name: str) -> float:
        status = self._process.joinpath("status").read_text()
        return int(status.partition(f"{name}:")[2].split()[0]) / 1024

    @property
    def _process(self) -> Path:
        return Path("/proc", str(self.serving.process.pid))


Ask = Callable[[http.client.HTTPConnection], http.client.HTTPResponse]


@contextmanager
def target(
    folder: Path, postgres: OwnPostgres, valkey: OwnValkey, **settings: Any
) -> Iterator[Target]:
    with serving(
        folder,
        DATABASE_URL=postgres.url,
        REDIS_URL=valkey.url,
        ADMIN_ENABLED="true",
        LIMIT_LOGIN_IP="10000/1s",
        LOG_LEVEL="WARNING",
        **settings,
    ) as api:
        port = int(api.url.split(":")[2].split("/")[0])
        post(port, "/api/v1/auth/register", ACCOUNT)
        made = Target(api, port)
        made.renew_token()
        assert postgres.process
        made.claim_core()
        _give_cores(postgres.process.pid, other_cores(), FIRST)
        _give_cores(valkey.process.pid, other_cores(), FIRST)
        measure_median(made, made.ask_for_me, WARM_UP)
        made.start = made.memory
        yield made


def check_beside(
    target: Target,
    attack: str,
    measured: Measured,
    *,
    ask: Ask | None = None,
    ordinary: str = ORDINARY,
) -> None:
    """
    Args:
        ask: the request of the normal client; by default it reads its account.
        ordinary: the attack that is an equal load of ordinary requests.
    """
    target.renew_token()
    ask = ask or target.ask_for_me
    measure_median(target, ask, WARM_UP)
    for _ in range(TRIES):  # the load of the machine may change in between
        with attacking(target, ordinary):
            target.claim_core()
            base = measure_median(target, ask, ORDINARY_SECONDS)
        target.forget_peak()
        with attacking(target, attack):
            target.claim_core()
            median = measure_median(target, ask, SECONDS)
        peak = target.peak
        if median < SLOWER * base:
            break
    after = _wait_for_memory(target)
    measured(
        attack,
        f"median {median * 1000:.1f} ms, {base * 1000:.1f} during ordinary requests; "
        f"{target.start:.0f} MiB at the start, {peak:.0f} at most and {after:.0f} after",
    )
    assert median < SLOWER * base
    assert peak < MIB_AT_MOST
    assert after < MAX_MEMORY_RATIO * target.start


@contextmanager
def attacking(target: Target, name: str) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.attackers", str(target.port), name],
        cwd=PACKAGE,
        env=os.environ | {"TOKEN": target.token},
        stdin=subprocess.PIPE,
    ) as process:
        try:
            time.sleep(WARM_UP)
            yield
            assert process.poll() is None, "the attackers exited before the end of the test"
        finally:
            process.kill()


def measure_median(target: Target, ask: Ask, seconds: float) -> float:
    """Send requests for a time, at least `MIN_REQUESTS`; each must succeed."""
    times: list[float] = []
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)
    until = time.monotonic() + seconds
    with _prior():
        while time.monotonic() < until or len(times) < MIN_REQUESTS:
            began = time.monotonic()
            response = ask(connection)
            response.read()
            assert response.status == 200
            times.append(time.monotonic() - began)
            time.sleep(0.005)
    connection.close()
    return statistics.median(times)


def post(port: int, path: str, document: dict[str, str]) -> dict[str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", path, json.dumps(document), {"Content-Type": "application/json"})
    answer: dict[str, str] = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def other_cores() -> set[int]:
    return (os.sched_getaffinity(0) - {SERVER_CORE}) or {SERVER_CORE}


def _give_cores(pid: int, cores: set[int], priority: int) -> None:
    """Bind a process, its threads and its children. The priority applies to main threads."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for process in (str(pid), *children):
        for thread in Path(f"/proc/{process}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)
            _set_priority(int(thread.name), priority if thread.name == process else THIRD)


def _set_priority(pid: int, priority: int) -> None:
    flags = priority & os.SCHED_RESET_ON_FORK
    with suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_RR | flags, os.sched_param(priority & ~flags))


@contextmanager
def _prior() -> Iterator[None]:
    """Give this process priority over all processes but the databases."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, other_cores())
    _set_priority(0, SECOND | os.SCHED_RESET_ON_FORK)
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, cores)


def _wait_for_memory(target: Target) -> float:
    enough = MAX_MEMORY_RATIO * target.start
    until = time.monotonic() + REST
    while (resident := target.memory) > enough and time.monotonic() < until:
        time.sleep(0.2)
    return resident
