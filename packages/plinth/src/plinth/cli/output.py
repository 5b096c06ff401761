"""The output and the questions of commands. Lines are not wrapped, so that they can be copied."""

import sys
from collections.abc import Iterable

import typer
from rich.console import Console
from rich.text import Text

from plinth.cli.failure import Failure

out = Console(soft_wrap=True, highlight=False)
err = Console(soft_wrap=True, highlight=False, stderr=True)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print a label and its value on each line."""
    facts = list(facts)
    width = max(len(label) for label, _ in facts)
    for label, value in facts:
        out.print(Text(f"  {label:<{width}}  ", style="bold"), Text(value), sep="")


def warn(sentence: str) -> None:
    err.print(Text(sentence, style="yellow"))


def at_terminal() -> bool:
    return sys.stdin.isatty()


def confirm(question: str) -> None:
    """
    Raises:
        Failure: the answer is no, or stdin is not a terminal.
    """
    if not at_terminal():
        raise Failure(f"{question} Cannot ask for confirmation without a terminal: pass --yes.")
    if not typer.confirm(question):
        raise Failure("Nothing was changed.")
