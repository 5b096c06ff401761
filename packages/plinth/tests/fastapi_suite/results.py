"""Comparison of two runs of a suite, with and without the dispatcher."""

import json
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

WIDTH = 300  # characters of the message of a failure
Results = Mapping[str, str]
"""By each test its failure's message, empty where it passed or was skipped."""


def read(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for case in ET.parse(path).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        for kind in ("failure", "error"):
            if (bad := case.find(kind)) is not None:
                found[name] = (bad.get("message") or kind)[:WIDTH].replace("\n", " | ")
        found.setdefault(name, "")
    return found


def new_failures(without: Results, with_it: Results) -> list[str]:
    return sorted(name for name, bad in with_it.items() if bad and not without.get(name))


def locate(name: str) -> str:
    """Return the node id of a test; the suite has no classes."""
    module, _, test = name.partition("::")
    return f"{module.replace('.', '/')}.py::{test}"


def judge(without: Results, with_it: Results, counts: Path, on_purpose: Path) -> bool:
    """Print the totals and each new failure; return whether none is new and unlisted."""
    listed = tuple(read_listed(on_purpose))
    new = new_failures(without, with_it)
    unlisted = [name for name in new if not name.startswith(listed)]
    lost = sorted(without.keys() - with_it.keys())
    print(
        f"  {len(with_it)} tests; {sum(map(bool, without.values()))} fail without,"
        f" {sum(map(bool, with_it.values()))} with; new: {len(new) - len(unlisted)} listed,"
        f" {len(unlisted)} unlisted; {len(lost)} not run"
    )
    total: Counter[str] = Counter()
    for line in counts.read_text().splitlines():
        total.update(json.loads(line))
    for kind in ("without overrides", "with overrides"):
        print(
            f"  {kind}: {total[f'fast {kind}']} of {total[f'requests {kind}']} took the fast path"
        )
    for name in unlisted:
        print(f"  NEW {name}\n      {with_it[name]}")
    for name in lost:
        print(f"  NOT RUN {name}")
    shows_something = total["fast without overrides"] and total["fast with overrides"]
    if not shows_something:
        print("  NO REQUEST took the fast path: this run shows nothing")
    return bool(shows_something) and not unlisted and not lost


def read_listed(path: Path) -> dict[str, str]:
    """Return prefixes of names with the required reason of each."""
    listed = {}
    for line in path.read_text().splitlines():
        name, _, reason = line.partition(" # ")
        if name.strip() and not name.startswith("#"):
            assert reason.strip(), f"{name}: say why after a #"
            listed[name.strip()] = reason.strip()
    return listed
