"""`plinth users`: the commands and their options; docs/how-to/users.md is the guide."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"


users = typer.Typer(name="users", help="Import, export and erase users.", no_args_is_help=True)

GivenFormat = Annotated[
    Format | None,
    typer.Option(
        "--format",
        help="File format. Default: from the file's suffix, .csv, .jsonl or .ndjson.",
        show_default=False,
    ),
]


@users.command("import")
def import_users(
    file: Annotated[
        Path, typer.Argument(help="CSV file with a header, or JSON lines file; - is stdin.")
    ],
    *,
    kind: GivenFormat = None,
    skip_duplicates: Annotated[
        bool,
        typer.Option(
            "--skip-duplicates",
            help="Skip lines whose email address or username exists already.",
        ),
    ] = False,
    superusers: Annotated[
        bool, typer.Option("--superusers", help="Allow is_superuser to be true in the file.")
    ] = False,
) -> None:
    """Import users with their password hashes.

    Imports all lines of the file or none, in one transaction. Prints each problem with its line
    number. After an interruption, run it again.
    """
    from plinth.cli.users import importing

    importing.run(file, kind, skip_duplicates=skip_duplicates, superusers=superusers)


@users.command("export")
def export_users(
    file: Annotated[Path, typer.Argument(help="File to write; - is stdout.")],
    *,
    kind: GivenFormat = None,
    with_hashes: Annotated[
        bool, typer.Option("--with-hashes", help="Include the password hashes.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Export all users to a file that only you can read."""
    from plinth.cli.users import exporting

    exporting.run(file, kind, hashes=with_hashes, force=force)


@users.command("addresses")
def compute_addresses() -> None:
    """Compute missing canonical addresses, and list accounts whose addresses collide.

    Rows that were inserted with plain SQL may lack the canonical form of their address. Accounts
    are never merged: each can still sign in with its exact spelling (docs/how-to/users.md).
    """
    from plinth.cli.users import addresses

    addresses.run()


@users.command("reset-mfa")
def reset_mfa(
    user: Annotated[
        str, typer.Argument(metavar="EMAIL|ID", help="Email address or id of the user.")
    ],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove the second factors of a user who lost them.

    Removes the recovery codes as well, ends all sessions, and notifies the user if the address is
    verified. First make sure that the person who asks is the owner of the account.
    """
    from plinth.cli.users import erasing

    erasing.reset_mfa(user, yes=yes)


@users.command()
def erase(
    user: Annotated[
        str, typer.Argument(metavar="EMAIL|ID", help="Email address or id of the user.")
    ],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Erase a user's personal data. This cannot be undone.

    Deletes the account with its sessions, mails and rows, and clears the user's IP addresses and
    user agents in the audit log, which stays verifiable.
    """
    from plinth.cli.users import erasing

    erasing.run(user, yes=yes)
