"""Arithmetic of the benchmarks; an error in it would stay unnoticed."""

import asyncio
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from urllib.request import urlopen
from uuid import UUID
from xml.etree import ElementTree

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from bench.__main__ import cluster
from bench.figures import Figures, compare
from bench.processes import memory_mib, processor_seconds
from bench.publish import BEGIN, END, publish
from bench.report import write
from bench.rounds import Result
from bench.seed import Person, find_edge, make_database
from bench.server import running_server
from bench.targets import ROOT, Target, find_targets, sign
from bench.verdicts import judge
from bench.work import FINDING, GENERATED, READING, WRITING, Work, list_by_key
from plinth.accounts import queries
from plinth.db import migrations
from plinth.resources.page_query import decrypt_cursor

WORKS = [*READING, *FINDING, *WRITING, *GENERATED]
NOBODY = Target("peer", lambda _: [], lambda person: f"Bearer {person.id}", frozenset())
PEOPLE = [Person(number, UUID(int=number), "a", "r", f"{number}@x.y") for number in range(1, 4)]


def result(target: str, number: int, rate: float, **others: float) -> Result:
    values = {"p50": 1.0, "p99": 2.0, "refused": 0, "lost": 0, "server_us": 5, "postgres_us": 7}
    figures: dict[str, float] = values | others
    return Result("me", 64, 1000, target, number, rate, **figures)  # type: ignore[arg-type]


def figures_of(results: list[Result], **facts: object) -> Figures:
    about = {"when": "now", "cores": 2, "python": "3", "minutes": 1, "load": 0, "pulse": [1.2, 9]}
    return Figures(results, about | facts)


def test_ratio_compares_the_same_round() -> None:
    ours = [result("plinth", 0, 100), result("plinth", 1, 50)]
    theirs = [result("peer", 1, 100), result("peer", 0, 50), result("peer", 2, 1)]
    assert compare(ours, theirs) == [2.0, 0.5]
    assert compare(ours, [result("peer", 0, 0)]) == [inf]


def test_table_has_median_range_and_errors(tmp_path: Path) -> None:
    rates = {"plinth": (100, 220, 300), "peer": (100, 100, 100), "stuck": (0, 0, 0)}
    results = [
        replace(result(name, number, rate, lost=3 * (name == "stuck")), connections=connections)
        for name, row in rates.items()
        for number, rate in enumerate(row)
        for connections in (16, 64)
        if name != "stuck" or connections == 64
    ]
    weights = {"plinth": {"start_seconds": 1.0, "idle_mib": 60, "loaded_mib": 70}}
    figures = figures_of(results, **{"processes, 1,000 users": weights})
    write(figures, judge(figures), tmp_path)
    table = (tmp_path / "results.md").read_text()
    row = "| me, 64 | 220 (100 to 300) | 1.00 (1.00 to 1.00) | 2.00 (2.00 to 2.00) |"
    assert f"{row} 2.20 (1.00 to 3.00) |\n" in table
    assert "me, 64, by stuck: ∞ (∞ to ∞) [9 lost]." in table
    assert "the slowest hundredth took 1.2 and 9 times as long" in table
    assert "29 not measured, 2 met. The median of the rounds" in table
    assert "| plinth, 1,000 users | 1.00 s | 60 MiB | 70 MiB |" in table
    for plot in ("me.svg", "cost.svg"):
        drawn = ElementTree.fromstring((tmp_path / plot).read_text())
        texts = [it.text for it in drawn.iter("{http://www.w3.org/2000/svg}text")]
        assert {"plinth", "peer"} <= set(texts)


def test_published_run_replaces_the_previous_one(tmp_path: Path) -> None:
    page, run = tmp_path / "performance.md", tmp_path / "run"
    run.mkdir()
    page.write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    for table in ("first", "second"):
        (run / "results.md").write_text(table)
        for name in ("me.svg", "cost.svg"):
            (run / name).write_text(f"<svg>{table}</svg>")
        publish(run, page)
    text = page.read_text()
    assert text.startswith(f"before\n\n{BEGIN}\n\n![")
    assert text.endswith(f"\n\nsecond\n\n{END}\n\nafter\n")
    assert not {"old", "first"} & set(text.split())
    for name in re.findall(r"!\[.*\]\((.*)\)", text):
        assert (tmp_path / name).read_text() == "<svg>second</svg>"
    page.write_text("no place")
    with pytest.raises(ValueError, match="must have"):
        publish(run, page)
    published = (ROOT / "docs/explanation/performance.md").read_text()
    assert 0 < published.find(BEGIN) < published.find(END)


def test_verdict_uses_the_median_round() -> None:
    # Round by round 1.2, 1.0 and 1.3 of the pool, 16 of the guide's stack, twice the p99 at 256.
    results = [
        result(name, number, rate * times, server_us=500, postgres_us=100, client_us=25)
        for name, rates, times in (
            ("plinth", (120, 100, 130), 10),
            ("asyncpg pool", (100, 100, 100), 10),
            ("guide, pool of 40", (10, 10, 10), 6),
            ("two workers", (150, 150, 150), 10),
        )
        for number, rate in enumerate(rates)
    ]
    results += [
        replace(result("plinth", number, 1100, p99=150, refused=7), connections=256)
        for number in range(3)
    ]
    results += [
        replace(result("plinth", 0, 1, p99=p99), work=work, connections=4)
        for work, p99 in (("me beside login, quiet", 10), ("me beside login", 25))
    ]
    weights = {"plinth": {"start_seconds": 9, "idle_mib": 60, "loaded_mib": 70}}
    facts = {"starts": [0.9, 0.8, 1.5], "processes, 1,000 users": weights}
    judged = {it.what: it for it in judge(figures_of(results, **facts))}
    assert {it.what: it.verdict for it in judged.values() if it.verdict != "not measured"} == {
        "me, 64: by asyncpg pool": "met",
        "me, 64: by guide, pool of 40": "met",
        "me, 256: refused or lost": "not met",
        "me, 256: by its figure at 64": "not met",
        "me, 256: p99": "not met",
        "me, 64: p99 by p50": "met",
        "me beside login: p99 by its quiet p99": "not met",
        "memory of a worker": "met",
        "start-up to the first 200": "met",
        "me, 64: two workers by one": "not met",
    }
    assert judged["me, 64: by asyncpg pool"].seen == "1.20 (1.00 to 1.30)"
    two = judged["me, 64: two workers by one"]
    assert two.seen == "1.25 (1.15 to 1.50)"
    assert "so 2.67 at the most" in two.note  # 2 cores, 625 us an answer, 1,200 by one worker


def test_limit_of_the_cores_is_not_a_failure() -> None:
    results = [
        result(name, 0, rate, server_us=1000, postgres_us=200, client_us=50)
        for name, rate in (("plinth", 1000), ("two workers", 1500))
    ]
    verdicts = {it.what: it.verdict for it in judge(figures_of(results))}
    assert verdicts["me, 64: two workers by one"] == "no room"


@pytest.mark.parametrize(("spread", "verdict"), [(2.0, "not met"), (3.5, "no room")])
def test_latency_noise_of_the_machine_is_not_a_failure(spread: float, verdict: str) -> None:
    constant = replace(result("constant", 0, 1000, p99=spread), work="constant")
    judged = judge(figures_of([result("plinth", 0, 100, p99=5), constant]))
    found = next(it for it in judged if it.what == "me, 64: p99 by p50")
    assert (found.verdict, found.note) == (verdict, f"{spread} of a constant answer")


def test_cursor_page_starts_at_the_offset(tmp_path: Path) -> None:
    ours, bare = [
        it for it in find_targets("s", tmp_path, peers=False) if "list by key" in it.does
    ][:2]
    edge = find_edge(1000, 0.9)
    assert edge == (datetime(2025, 12, 31, 22, 20, tzinfo=UTC), 100)
    [first, *_] = list_by_key(bare, PEOPLE, 1000)
    assert b"?after=2025-12-31T22:20:00Z,100&limit=20 HTTP" in first
    [first, *_] = list_by_key(ours, PEOPLE, 1000)
    found = re.search(rb"cursor=([\w-]+)&", first)
    assert found
    cursor = decrypt_cursor(found[1].decode(), "users")
    assert queries.user.listing.order("created_at").read(cursor.values) == edge
    [first, *_] = list_by_key(NOBODY, PEOPLE, 1000)
    assert b"?skip=900&limit=20 HTTP" in first


@pytest.mark.parametrize(
    "work", [*READING, *FINDING, *WRITING, *GENERATED], ids=lambda work: work.name
)
def test_requests_are_valid_http(work: Work) -> None:
    for request in work.write(NOBODY, PEOPLE, 1000):
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        assert first.endswith(" HTTP/1.1")
        assert int(headers.get("Content-Length", 0)) == len(body)
        assert not body or json.loads(body)
        assert b"\0" not in request


def test_peer_token_is_readable_by_other_libraries() -> None:
    secret = "s" * 32
    read = jwt.decode(sign(secret, sub="7"), OctKey.import_key(secret), algorithms=["HS256"])
    assert read.claims == {"sub": "7"}


def test_memory_and_cpu_include_child_processes() -> None:
    alone = memory_mib(os.getpid())
    assert 5 < alone < 50_000
    burn = "import sys, time; [sum(range(9999)) for _ in range(1999)]; print(flush=True); input()"
    before = processor_seconds(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        child.stdout.readline()
        during = processor_seconds(os.getpid())
        assert memory_mib(os.getpid()) > alone + 2
        child.communicate(b"\n")
    assert during > before + 0.03
    assert processor_seconds(os.getpid()) >= during, "who has ended counts, too"


def test_each_benchmark_target_starts(tmp_path: Path) -> None:
    """With the privileges that creating a database and migrating it take."""
    with cluster(tmp_path) as (server_url, _, _):
        url = asyncio.run(make_database(server_url, "bench_test"))
        migrations.upgrade(url)
    with running_server() as server, urlopen(f"{server.url}/api/v1/health") as response:
        assert response.status == 200
