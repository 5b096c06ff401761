"""What processes cost, out of /proc: processor time and memory, with all that they started."""

import os
from collections.abc import Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def find_family(pid: int) -> Iterator[int]:
    """A process and those that it started, and they."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from find_family(int(child))


def processor_seconds(pid: int) -> float:
    """Of the family, those of it that have ended too."""
    total = 0
    for one in find_family(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
    return total / TICKS


def memory_mib(pid: int) -> float:
    """Resident, of the family. What they share is counted in each."""
    total = 0
    for one in find_family(pid):
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except OSError:
            continue
    return total * PAGE / 2**20
