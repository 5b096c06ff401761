"""Rules of the sources and of the tests, each as a test whose message says how to fix it."""

import re

import hypothesis
from hypothesis import HealthCheck

from tests.support.environment import LIBRARY, ROOT, TESTS

SOURCES = sorted([*(ROOT / "app").rglob("*.py"), *LIBRARY.rglob("*.py")])


COMMITS = re.compile(r"\.(commit|rollback)\(|[^#\n]\b_executor\.write\b")


def test_only_the_database_module_commits() -> None:
    """A single statement that makes its change durable is a commit as well."""
    # The other one migrates: its session settings must outlive a transaction.
    allowed = LIBRARY / "db" / "database.py", LIBRARY / "db" / "schema" / "environment.py"
    assert all(COMMITS.search(file.read_text()) for file in allowed)
    guilty = [
        str(file.relative_to(ROOT))
        for file in SOURCES
        if file not in allowed and COMMITS.search(file.read_text())
    ]
    assert guilty == [], "flush; Database.transaction commits once, at the end"


def test_no_route_queries_the_database_directly() -> None:
    guilty = [
        str(file.relative_to(ROOT))
        for file in SOURCES
        if {"api", "routes"} & {*file.parts}
        and re.search(r"\bdb\.(execute|scalar|scalars|add|get)\(", file.read_text())
    ]
    assert guilty == [], "a query belongs to app/crud or to `queries` of a capability"


def test_source_file_has_at_most_300_lines() -> None:
    long = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in SOURCES}
    assert {name: lines for name, lines in long.items() if lines > 300} == {}, (
        "make two files of it, or a folder with the same import name"
    )


# An upper bound on elapsed time. A lower bound also holds on a busy machine, and CPU time is not
# elapsed time.
TIMED = re.compile(r"(monotonic|perf_counter)(_ns)?\(\) *-(?!.*>=)|deadline[=][^N]")


def test_tests_outside_faults_do_not_measure_time() -> None:
    """A busy machine must not fail a test. Use `measured(...)` to show a time."""
    guilty = [
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for file in sorted(TESTS.rglob("*.py"))
        if file.relative_to(TESTS).parts[0] not in {"faults", "budget", "mutation"}
        for line in file.read_text().splitlines()
        if TIMED.search(line) and "measured(" not in line
    ]
    assert guilty == [], "count calls or wait with `until`; what is promised in seconds is a fault"


def test_hypothesis_has_no_deadline() -> None:
    assert hypothesis.settings().deadline is None
    assert HealthCheck.too_slow in hypothesis.settings().suppress_health_check
