"""The commands that write a project, or more of it than one resource."""

from pathlib import Path
from typing import Annotated

import typer

scaffold = typer.Typer()


@scaffold.command()
def start(
    folder: Annotated[
        Path, typer.Argument(help="The folder to write. Its name is that of the project: shop.")
    ],
    *,
    wheel: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The wheel of the library to start from. Default: the one installed from.",
        ),
    ] = None,
) -> None:
    """Write a new project: an application, its tests, and files to run and deploy it.

    It keeps the library's wheel in wheels/ and pins it, and all else, by hash.
    """
    from plinth.cli.start.create import run

    run(folder, wheel)


@scaffold.command()
def upgrade(
    *,
    wheel: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The wheel of the library to upgrade to. Default: the one installed from.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Print what would change, and change nothing.")
    ] = False,
) -> None:
    """Upgrade the library of a project that `plinth start` wrote.

    Replaces the wheel and the pin, compiles the requirements, writes the migration, and updates the
    files that are still as `plinth start` wrote them. For the others it prints what changed.
    """
    from plinth.cli.upgrade.run import run

    run(Path.cwd(), wheel, check=check)


@scaffold.command()
def eject(
    name: Annotated[
        str,
        typer.Argument(help="The router: credentials, health, sessions or user_sessions."),
    ],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the diff and change nothing.")
    ] = False,
) -> None:
    """Copy a router of the library into app/api/v1, to change what its routes do.

    Paths and operation ids stay. `plinth doctor` says when the library's routes have changed.
    """
    from plinth.cli.eject import copy

    copy.run(name, dry_run=dry_run)
