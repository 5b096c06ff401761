"""CPU time and memory of a process and its descendants, from /proc."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PARENT, TIMES, RESIDENT = 1, slice(11, 15), 21  # fields of stat after the name: proc(5)


def processor_seconds(pid: int) -> float:
    """Return the CPU time of the process and its descendants, including those that have ended."""
    # utime, stime, cutime, cstime
    return sum(sum(map(int, fields[TIMES])) for fields in _read_family(pid).values()) / TICKS


def memory_mib(pid: int) -> float:
    """Return the resident memory of all of them. Shared pages are counted in each process."""
    return sum(int(fields[RESIDENT]) for fields in _read_family(pid).values()) * PAGE / 2**20


def _read_family(pid: int) -> dict[int, list[str]]:
    """Return the fields of /proc/PID/stat of the process and its descendants, by process id.

    It reads all processes, because the list of children in /proc is incomplete if a child ends
    during the read, and children of PostgreSQL end often.
    """
    everyone = dict(_read_everyone())
    family = {pid: everyone[pid]} if pid in everyone else {}
    while more := {
        one: fields
        for one, fields in everyone.items()
        if one not in family and int(fields[PARENT]) in family
    }:
        family |= more
    return family


def _read_everyone() -> Iterator[tuple[int, list[str]]]:
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            yield int(file.parent.name), file.read_text().rpartition(")")[2].split()
