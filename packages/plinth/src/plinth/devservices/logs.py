"""The servers' logs in the data folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_LOG_BYTES = 10_000_000  # bytes; beyond it the next start begins anew
TAIL = 20_000
ALARMS = ("PANIC:", "FATAL:", "ERROR:", "error:", "# Fatal", "# Failed")


@contextmanager
def open_log(path: Path) -> Iterator[tuple[int, int]]:
    """The open file, and where what is written from now on begins."""
    log = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        if os.fstat(log).st_size > MAX_LOG_BYTES:
            os.ftruncate(log, 0)
        yield log, os.fstat(log).st_size
    finally:
        os.close(log)


def read_tail(log: int, since: int) -> str:
    """The last line that tells what went wrong, or else the last one; without its time stamp."""
    size = os.fstat(log).st_size
    begin = max(since, size - TAIL)
    text = os.pread(log, TAIL, begin).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in reversed(lines):
        for alarm in ALARMS:
            if alarm in line:
                return line[line.index(alarm) :]
    return lines[-1] if lines else "it said nothing"
