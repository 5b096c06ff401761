"""Runs of wrk with one thread, which leaves the other core to the server."""

import json
import resource
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("lua") / "requests.lua"
ANSWER_SECONDS = 5
MARK = "RESULT "


@dataclass(frozen=True, slots=True)
class Load:
    """
    Attributes:
        p50, p99: latency in milliseconds.
        refused: responses with status 400 and above.
        lost: requests without a response in time.
        processor_seconds: CPU time of wrk itself.
    """

    requests: int
    seconds: float
    p50: float
    p99: float
    refused: int
    lost: int
    processor_seconds: float

    @property
    def rate(self) -> float:
        """Successful responses per second."""
        return max(self.requests - self.refused, 0) / self.seconds


def require_wrk() -> str:
    if found := shutil.which("wrk"):
        return found
    raise SystemExit("wrk is not installed: apt-get install wrk")


def put_load(
    url: str, requests: Iterable[bytes], file: Path, *, connections: int, seconds: float, mode: str
) -> Load:
    """
    Args:
        requests: complete HTTP requests, sent in this order.
        file: the file from which wrk reads them.
        mode: "in turn" or "refresh" (see lua/requests.lua).
    """
    file.write_bytes(b"".join(request + b"\0" for request in requests))
    command = [require_wrk(), "-t1", f"-c{connections}", f"-d{seconds:.0f}s"]
    command += ["--timeout", f"{ANSWER_SECONDS}s", "-s", str(SCRIPT), url, "--", str(file), mode]
    before = _processor_seconds()
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith(MARK))
    found = json.loads(line.removeprefix(MARK))
    return Load(
        requests=found["requests"],
        seconds=found["microseconds"] / 1e6,
        p50=found["p50"] / 1e3,
        p99=found["p99"] / 1e3,
        refused=found["refused"],
        lost=found["lost"],
        processor_seconds=_processor_seconds() - before,
    )


def _processor_seconds() -> float:
    """Return the CPU time of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def write_request(
    method: str, path: str, authorization: str | None = None, body: object = None
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: bench"]
    if authorization:
        lines.append(f"Authorization: {authorization}")
    content = b"" if body is None else json.dumps(body).encode()
    if content:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content
