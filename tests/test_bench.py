"""The benchmarks' own arithmetic, which nobody would notice being wrong."""

import json
import os
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from bench.processes import find_family, memory_mib, processor_seconds
from bench.report import compare, group, write
from bench.rounds import Result
from bench.seed import Person
from bench.targets import Target, sign
from bench.work import FINDING, READING, WRITING, Work

NOBODY = Target("peer", lambda _: [], {}, lambda person: f"Bearer {person.id}", frozenset())
PEOPLE = [Person(number, UUID(int=number), "a", "r", f"{number}@x.y") for number in range(1, 4)]


def result(target: str, number: int, rate: float, **others: float) -> Result:
    values = {"p50": 1.0, "p99": 2.0, "refused": 0, "lost": 0, "server_us": 5, "postgres_us": 7}
    figures: dict[str, float] = values | others
    return Result("me", 64, 1000, target, number, rate, **figures)  # type: ignore[arg-type]


def test_a_ratio_is_of_one_round() -> None:
    ours = [result("plinth", 0, 100), result("plinth", 1, 50)]
    theirs = [result("peer", 1, 100), result("peer", 0, 50), result("peer", 2, 1)]
    assert compare(ours, theirs) == [2.0, 0.5]
    assert compare(ours, [result("peer", 0, 0)]) == []


def test_the_table_has_the_middle_the_ends_and_what_went_wrong(tmp_path: Path) -> None:
    rates = {"plinth": (100, 220, 300), "peer": (100, 100, 100), "stuck": (0, 0, 0)}
    results = [
        result(name, number, rate, lost=3 * (name == "stuck"))
        for name, row in rates.items()
        for number, rate in enumerate(row)
    ]
    weights = {"plinth": {"start_seconds": 1.0, "idle_mib": 60, "loaded_mib": 70}}
    facts: dict[str, object] = {"when": "now", "cores": 2, "python": "3", "minutes": 1}
    write(results, facts | {"processes, 1,000 users": weights}, tmp_path)
    table = (tmp_path / "results.md").read_text()
    assert "| me | 1,000 | 64 | 220 | 1.0 | 2.0 | 2.20 (1.00 to 3.00) | gives none |" in table
    assert "| plinth, 1,000 users | 1.00 s | 60 MiB | 70 MiB |" in table
    drawn = ElementTree.fromstring((tmp_path / "me.svg").read_text())
    assert [it.text for it in drawn.iter("{http://www.w3.org/2000/svg}text")][1] == "plinth"
    assert len(group(results)) == 1


@pytest.mark.parametrize("work", [*READING, *FINDING, *WRITING], ids=lambda work: work.name)
def test_requests_are_whole(work: Work) -> None:
    for request in work.write(NOBODY, PEOPLE, 1000):
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        assert first.endswith(" HTTP/1.1")
        assert int(headers.get("Content-Length", 0)) == len(body)
        assert not body or json.loads(body)
        assert b"\0" not in request


def test_a_peers_token_is_one_that_libraries_read() -> None:
    secret = "s" * 32
    read = jwt.decode(sign(secret, sub="7"), OctKey.import_key(secret), algorithms=["HS256"])
    assert read.claims == {"sub": "7"}


def test_processes_are_weighed_with_their_children() -> None:
    assert next(iter(find_family(os.getpid()))) == os.getpid()
    assert processor_seconds(os.getpid()) > 0
    assert 5 < memory_mib(os.getpid()) < 50_000
