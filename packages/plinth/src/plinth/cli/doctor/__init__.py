"""`plinth doctor`: run the checks in this package's modules, each of which returns a finding."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

import typer
from rich.text import Text

from plinth.cli.output import out


class Level(StrEnum):
    FINE = "fine"
    DOUBTFUL = "doubtful"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check.

    Attributes:
        advice: how to fix it; empty if it is fine.
    """

    name: str
    level: Level
    text: str
    advice: str = ""


def fine(name: str, text: str) -> Finding:
    return Finding(name, Level.FINE, text)


def doubtful(name: str, text: str, advice: str) -> Finding:
    return Finding(name, Level.DOUBTFUL, text, advice)


def broken(name: str, text: str, advice: str) -> Finding:
    return Finding(name, Level.BROKEN, text, advice)


SYMBOLS = {Level.FINE: ("✓", "green"), Level.DOUBTFUL: ("!", "yellow"), Level.BROKEN: ("✗", "red")}


def run(workers: int, *, as_json: bool) -> None:
    findings = _examine(workers)
    healthy = all(finding.level is not Level.BROKEN for finding in findings)
    if as_json:
        print(json.dumps({"healthy": healthy, "checks": [asdict(it) for it in findings]}))
    else:
        for finding in findings:
            _print(finding)
    raise typer.Exit(0 if healthy else 1)


def _examine(workers: int) -> list[Finding]:
    try:
        from plinth.cli.doctor.examination import examine
    except SystemExit as error:  # SettingsError: that import reads the settings
        faults = getattr(error, "faults", [str(error)])
        return [
            broken("settings", fault, "Correct it in .env; .env.example explains each setting.")
            for fault in faults
        ]
    return examine(workers)


def _print(finding: Finding) -> None:
    sign, color = SYMBOLS[finding.level]
    out.print(Text(sign, style=color), Text(f"{finding.name}:", style="bold"), Text(finding.text))
    if finding.advice:
        out.print(Text(f"  → {finding.advice}"))
