"""The table of contents of `plinth users`; docs/how-to/users.md says when to do what."""

from pathlib import Path
from typing import Annotated

import typer

from plinth.cli.users.formats import Format

users = typer.Typer(
    name="users", help="Many users in and out, and one away for good.", no_args_is_help=True
)

GivenFormat = Annotated[
    Format | None,
    typer.Option("--format", help="Left out: by the file's ending, .csv, .jsonl or .ndjson."),
]


@users.command("import")
def import_users(
    file: Annotated[Path, typer.Argument(help="CSV with a header, or JSON lines; - is stdin.")],
    *,
    kind: GivenFormat = None,
    skip_duplicates: Annotated[
        bool,
        typer.Option(
            "--skip-duplicates",
            help="Leave out lines whose e-mail or username a user, or an earlier line, has.",
        ),
    ] = False,
    superusers: Annotated[
        bool, typer.Option("--superusers", help="Let is_superuser of the file be true.")
    ] = False,
) -> None:
    """Add users with the hashes of their passwords: all of the file, or nothing.

    What stands in the way is told by line. Broken off, it has done nothing: run it again.
    """
    from plinth.cli.users import importing

    importing.run(file, kind, skip_duplicates=skip_duplicates, superusers=superusers)


@users.command("export")
def export_users(
    file: Annotated[Path, typer.Argument(help="Where to; - is stdout.")],
    *,
    kind: GivenFormat = None,
    with_hashes: Annotated[
        bool, typer.Option("--with-hashes", help="With the hashes of their passwords.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write everyone into a file that only its owner can read."""
    from plinth.cli.users import exporting

    exporting.run(file, kind, hashes=with_hashes, force=force)


@users.command("addresses")
def compute_addresses() -> None:
    """List accounts whose addresses collide, and compute what was left out by plain SQL.

    Accounts are never merged, and each can sign in by its own spelling (docs/how-to/users.md).
    """
    from plinth.cli.users import addresses

    addresses.run()


@users.command()
def erase(
    who: Annotated[str, typer.Argument(metavar="EMAIL|ID")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a person's data: the account with all that is theirs, and their traces in the audit
    log, which goes on holding together. There is no way back."""
    from plinth.cli.users import erasing

    erasing.run(who, yes=yes)
