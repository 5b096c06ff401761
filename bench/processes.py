"""What processes cost, out of /proc: processor time and memory, with all that they started."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PARENT, TIMES, RESIDENT = 1, slice(11, 15), 21  # fields of stat behind the name; proc(5)


def processor_seconds(pid: int) -> float:
    """Of the family, those of it that have ended too."""
    # utime, stime, cutime, cstime
    return sum(sum(map(int, fields[TIMES])) for fields in _read_family(pid).values()) / TICKS


def memory_mib(pid: int) -> float:
    """Resident, of the family. What they share is counted in each."""
    return sum(int(fields[RESIDENT]) for fields in _read_family(pid).values()) * PAGE / 2**20


def _read_family(pid: int) -> dict[int, list[str]]:
    """The process and those that it started, and they: what stat says of each.

    The list of a task's children in /proc leaves some out when one ends while it is read, as
    PostgreSQL's processes do all the time; so all processes are looked at, each once.
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
