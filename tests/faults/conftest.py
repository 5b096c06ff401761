"""Faults, on real processes: `make test-faults`. What was measured stands at the end of the run."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.core import migrations
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
    """The data of a server that has our schema, to be copied."""
    folder = make_run_folder(Path(tempfile.gettempdir(), f"plinth-faults-{id(object()):x}"))
    try:
        with own_postgres(folder) as server:
            migrations.upgrade(server.url)
            stop_in_order(server)
            yield server.folder
    finally:
        remove(folder)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path, which PostgreSQL's user may use as well."""
    made = make_run_folder(Path(tempfile.mkdtemp(prefix="pf-"), "run"))
    made.parent.chmod(0o755)
    yield made
    remove(made.parent)


@pytest.fixture
def postgres(folder: Path, migrated: Path) -> Iterator[OwnPostgres]:
    with own_postgres(folder, template=migrated) as server:
        yield server


@pytest.fixture
def valkey(folder: Path) -> Iterator[OwnValkey]:
    with own_valkey(folder) as server:
        yield server


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """Tell what was seen, for the table at the end and `docs/faults.md`."""
    return lambda name, figure: record_property(FIGURE, f"{name}: {figure}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("measured")
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == FIGURE and report.when == "call":
                    terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {value}")
