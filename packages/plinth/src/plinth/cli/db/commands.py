"""`plinth db`: the commands and their options."""

from pathlib import Path
from typing import Annotated

import typer

db = typer.Typer(
    name="db", help="Migrate, back up, restore and inspect the database.", no_args_is_help=True
)

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


@db.command()
def upgrade(
    revision: Annotated[
        str, typer.Argument(help="Revision to migrate to; +1 is one step.")
    ] = "head",
    *,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the SQL instead of running it.")
    ] = False,
) -> None:
    """Run pending migrations.

    Safe to run on several hosts at once: a lock lets one migrate and the others wait.
    """
    from plinth.cli.db import migrate

    migrate.upgrade(revision, as_sql=sql)


# ignore_unknown_options: "-1" is a revision and not an option.
@db.command(context_settings={"ignore_unknown_options": True})
def downgrade(
    revision: Annotated[str, typer.Argument(help="Revision to migrate to; -1 is one step.")] = "-1",
    *,
    yes: Yes = False,
) -> None:
    """Undo migrations. The data in the dropped tables and columns is lost."""
    from plinth.cli.db import migrate

    migrate.downgrade(revision, yes=yes)


@db.command()
def shell() -> None:
    """Open psql on the database."""
    from plinth.cli.db.programs import open_psql

    open_psql()


@db.command()
def roles(
    *,
    url_env: Annotated[
        str | None,
        typer.Option(
            metavar="VAR",
            help="Run the SQL with the URL in this environment variable. Its role must be allowed "
            "to create roles.",
        ),
    ] = None,
) -> None:
    """Print or run the SQL that creates the two database roles.

    The role in MIGRATION_DATABASE_URL owns the database and migrates. The role in DATABASE_URL only
    reads and writes rows. The SQL can be run again, also on a database with data, and contains
    SCRAM-SHA-256 verifiers instead of passwords.
    """
    from plinth.cli.db.roles import run

    run(url_env)


@db.command()
def backup(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="File or folder to write to. Default: <database>-<time>.dump in this folder.",
            show_default=False,
        ),
    ] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Back up the database to a file. The servers may keep running."""
    from plinth.cli.db.backup import run

    run(file, force=force)


@db.command()
def restore(
    file: Annotated[Path, typer.Argument(help="File from `plinth db backup` or `pg_dump -Fc`.")],
    *,
    yes: Yes = False,
) -> None:
    """Replace the contents of the database with a backup, in one transaction."""
    from plinth.cli.db.restore import run

    run(file, yes=yes)


@db.command()
def prune() -> None:
    """Delete old rows now, by the same rules as the worker.

    These are ended sessions, sent mails, expired tokens and keys, and, with EVENT_KEEP_DAYS, audit
    events. Safe to run beside the servers and the worker.
    """
    from plinth.cli.db.prune import run

    run()
