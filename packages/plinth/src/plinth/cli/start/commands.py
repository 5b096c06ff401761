"""`plinth start`, `upgrade` and `eject`: the commands and their options."""

from pathlib import Path
from typing import Annotated

import typer

scaffold = typer.Typer()


@scaffold.command()
def start(
    folder: Annotated[
        Path, typer.Argument(help="Folder to create. Its name becomes the project's name.")
    ],
    *,
    wheel: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Wheel of the library. Default: the one that `plinth` was installed from.",
        ),
    ] = None,
) -> None:
    """Create a project: an application, its tests, and files to run and deploy it.

    Copies the library's wheel into wheels/ and pins all dependencies by hash.
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
            help="New wheel of the library. Default: the one that `plinth` was installed from.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Print the changes without making them.")
    ] = False,
) -> None:
    """Upgrade the library in a project that `plinth start` created.

    Replaces the wheel and its pin, compiles the requirements, writes the migration, and updates
    generated files that you have not changed. For the others, prints the difference.
    """
    from plinth.cli.upgrade.run import run

    run(Path.cwd(), wheel, check=check)


@scaffold.command()
def eject(
    name: Annotated[
        str,
        typer.Argument(help="Router: credentials, health, sessions or user_sessions."),
    ],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the diff without changing files.")
    ] = False,
) -> None:
    """Copy a router of the library into app/api/v1, so that you can change it.

    Paths and operation ids stay the same. `plinth doctor` reports later changes of the original.
    """
    from plinth.cli.eject import copy

    copy.run(name, dry_run=dry_run)
