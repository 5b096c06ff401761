"""The table of contents of `plinth audit`; docs/explanation/audit.md says when to do what."""

import re
from typing import Annotated

import typer

audit = typer.Typer(name="audit", help="The audit log.", no_args_is_help=True)


@audit.callback()
def _group() -> None:
    pass  # without it, typer would take the only command for the group itself


def parse_head(text: str) -> str:
    """`412:9f3c…` as verify prints it, or the hash alone."""
    found = re.fullmatch(r"(?:\d{1,19}:)?([0-9a-f]{64})", text.strip().lower())
    if not found:
        raise typer.BadParameter("a head as `plinth audit verify` prints it: number:hash")
    return found[1]


@audit.command()
def verify(
    *,
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="HEAD",
            parser=parse_head,
            help="A head that an earlier run printed: it must still be in the log.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Go through the whole log, and find what was changed, taken out, or moved.

    Prints the head, to be kept elsewhere for --expect. Ends with 1 where the log does not hold.
    """
    from plinth.cli.audit.verify import run

    run(expect, as_json=as_json)
