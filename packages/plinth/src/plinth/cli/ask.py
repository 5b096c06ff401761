import sys

import typer

from plinth.cli.failure import Failure


def at_terminal() -> bool:
    return sys.stdin.isatty()


def confirm(question: str) -> None:
    """
    Raises:
        Failure: nobody is there to be asked, or the answer is no.
    """
    if not at_terminal():
        raise Failure(f"{question} Nobody is here to say so: pass --yes.")
    if not typer.confirm(question):
        raise Failure("Nothing was changed.")
