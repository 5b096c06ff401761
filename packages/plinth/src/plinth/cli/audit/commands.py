"""`plinth audit`: the commands and their options; docs/explanation/audit.md is the guide."""

import re
from typing import Annotated

import typer

audit = typer.Typer(name="audit", help="Verify the audit log.", no_args_is_help=True)


def parse_head(text: str) -> str:
    """Return the hash of a head such as `412:9f3c…`, or of a hash alone."""
    match = re.fullmatch(r"(?:\d{1,19}:)?([0-9a-f]{64})", text.strip().lower())
    if not match:
        raise typer.BadParameter("must be number:hash, as printed by `plinth audit verify`")
    return match[1]


@audit.command()
def verify(
    *,
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="HEAD",
            parser=parse_head,
            help="Head that an earlier run printed. It must still be in the log.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Verify the hash chain of the log, and report changed, deleted or moved events.

    Prints the head of the chain. Store it outside the database and pass it to --expect later. Exits
    with 1 if the log was altered.
    """
    from plinth.cli.audit.verify import run

    run(expect, as_json=as_json)


@audit.command()
def accept(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Sign the checkpoint of deleted events again, although no known key verifies it.

    Run it if the SECRET_KEY that signed it is lost, or after an attack that you have examined.
    Records an event. After a change of SECRET_KEY, run `plinth keys reencrypt` instead.
    """
    from plinth.cli.audit.accept import run

    run(yes=yes)
