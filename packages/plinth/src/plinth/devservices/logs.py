"""The log files of the servers in the data folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_LOG_BYTES = 10_000_000  # the next start truncates a larger file
TAIL_BYTES = 20_000
ERROR_MARKERS = ("PANIC:", "FATAL:", "ERROR:", "error:", "# Fatal", "# Failed")


@contextmanager
def open_log(path: Path) -> Iterator[tuple[int, int]]:
    """Yield the open file, and the offset where new lines begin."""
    log = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        if os.fstat(log).st_size > MAX_LOG_BYTES:
            os.ftruncate(log, 0)
        yield log, os.fstat(log).st_size
    finally:
        os.close(log)


def read_tail(log: int, since: int) -> str:
    """Return the last line with an error, or else the last line, without its timestamp."""
    size = os.fstat(log).st_size
    begin = max(since, size - TAIL_BYTES)
    text = os.pread(log, TAIL_BYTES, begin).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in reversed(lines):
        for marker in ERROR_MARKERS:
            if marker in line:
                return line[line.index(marker) :]
    return lines[-1] if lines else "the log is empty"
