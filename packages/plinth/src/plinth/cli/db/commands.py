"""The table of contents of `plinth db`."""

from pathlib import Path
from typing import Annotated

import typer

db = typer.Typer(
    name="db", help="The database: migrate, back up, look inside.", no_args_is_help=True
)

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@db.command()
def upgrade(
    revision: Annotated[str, typer.Argument(help="Where to; +1 is one step.")] = "head",
    *,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL and change nothing.")] = False,
) -> None:
    """Migrate up. Several at once wait for each other."""
    from plinth.cli.db import migrate

    migrate.upgrade(revision, as_sql=sql)


# "-1" is a revision here, and no option.
@db.command(context_settings={"ignore_unknown_options": True})
def downgrade(
    revision: Annotated[str, typer.Argument(help="Where to; -1 is one step.")] = "-1",
    *,
    yes: Yes = False,
) -> None:
    """Migrate down. What the undone migrations hold is lost."""
    from plinth.cli.db import migrate

    migrate.downgrade(revision, yes=yes)


@db.command()
def shell() -> None:
    """Open psql on the database."""
    from plinth.cli.db.shell import run

    run()


@db.command()
def roles(
    *,
    url_env: Annotated[
        str | None,
        typer.Option(
            metavar="VAR",
            help="Run it by the URL in this variable, of a role that may create roles.",
        ),
    ] = None,
) -> None:
    """Print the SQL of the roles of DATABASE_URL and MIGRATION_DATABASE_URL, or run it.

    The latter's role owns the database and migrates; the former's only uses the tables. It can be
    run again, also on a database with data. Passwords are in it as SCRAM-SHA-256 verifiers.
    """
    from plinth.cli.db.roles import run

    run(url_env)


@db.command()
def backup(
    file: Annotated[
        Path | None,
        typer.Argument(help="The file, or a folder for it. <database>-<time>.dump if left out."),
    ] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Dump the database into a file, for `plinth db restore`. Nothing has to be stopped for it."""
    from plinth.cli.db.backup import run

    run(file, force=force)


@db.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file of `plinth db backup`, or of pg_dump -Fc.")],
    *,
    yes: Yes = False,
) -> None:
    """Put a backup in the place of what is in the database: all of it, or nothing."""
    from plinth.cli.db.restore import run

    run(file, yes=yes)
