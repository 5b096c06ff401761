"""Measurements of a suite, printed at its end: import both functions into its conftest.py."""

from collections.abc import Callable

import pytest

FIGURE = "figure"
Measured = Callable[[str], None]


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """Return a function that records a measurement for the summary."""
    return lambda value: record_property(FIGURE, value)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("measured")
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == FIGURE and report.when == "call":
                    terminalreporter.write_line(value)
