"""Faults of real processes: `make test-faults`. The end of the run shows the measurements."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plinth.db import migrations
from tests.support.postgres import (
    OwnPostgres,
    make_run_folder,
    own_postgres,
    remove,
    stop_in_order,
)
from tests.support.valkey import OwnValkey, own_valkey

FIGURE = "figure"
Measured = Callable[[str, str], None]


@pytest.fixture(scope="session")
def migrated() -> Iterator[Path]:
    """Return the data directory of a stopped server with the schema, to copy."""
    with _short_folder() as folder, own_postgres(folder) as server:
        migrations.upgrade(server.url)
        stop_in_order(server)
        yield server.folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with _short_folder() as made:
        yield made


@pytest.fixture
def postgres(folder: Path, migrated: Path) -> Iterator[OwnPostgres]:
    with own_postgres(folder, template=migrated) as server:
        yield server


@pytest.fixture
def valkey(folder: Path) -> Iterator[OwnValkey]:
    with own_valkey(folder) as server:
        yield server


@pytest.fixture(scope="module")
def folder_once() -> Iterator[Path]:
    with _short_folder() as made:
        yield made


@pytest.fixture(scope="module")
def postgres_once(folder_once: Path, migrated: Path) -> Iterator[OwnPostgres]:
    """Start one server for the tests of a module that do not break it."""
    with own_postgres(folder_once, template=migrated) as server:
        yield server


@pytest.fixture(scope="module")
def valkey_once(folder_once: Path) -> Iterator[OwnValkey]:
    with own_valkey(folder_once) as server:
        yield server


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """Record a measurement for the summary and `docs/explanation/faults.md`."""
    return lambda name, figure: record_property(FIGURE, f"{name}: {figure}")


@contextmanager
def _short_folder() -> Iterator[Path]:
    """Create a folder with a short path for sockets that PostgreSQL's user can traverse."""
    above = Path(tempfile.mkdtemp(prefix="pf-"))
    above.chmod(0o755)
    try:
        yield make_run_folder(above / "run")
    finally:
        remove(above)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("measured")
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == FIGURE and report.when == "call":
                    terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {value}")
