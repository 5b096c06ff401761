import sys

import typer

from plinth.cli.failure import Failure


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
