"""Figures that a suite saw, told at the end of its run: import both into its conftest.py."""

from collections.abc import Callable

import pytest

FIGURE = "figure"
Measured = Callable[[str], None]


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """Notes a figure, to be read at the end of the run."""
    return lambda value: record_property(FIGURE, value)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("measured")
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == FIGURE and report.when == "call":
                    terminalreporter.write_line(value)
