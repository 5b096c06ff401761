"""The table of contents of `plinth`: what each command takes. What it does is imported when it is
called, because that reads the settings, and `plinth --help` has to answer whatever they say."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from plinth.cli.audit.commands import audit
from plinth.cli.db.commands import db
from plinth.cli.keys.commands import keys
from plinth.cli.loading import loading
from plinth.cli.start.commands import scaffold
from plinth.cli.users.commands import users

Host = Annotated[str, typer.Option(help="The address to listen on.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the diff and change nothing.")]
Port = Annotated[int, typer.Option(help="The port to listen on.", min=0, max=65535)]

plinth = typer.Typer(
    help="Plinth: a FastAPI, PostgreSQL and Redis backend.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        print(f"plinth {version('plinth-backend')}")
    except PackageNotFoundError:
        print("plinth, not installed as a package")
    raise typer.Exit


@plinth.callback()
def _begin(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and end."
        ),
    ] = False,
) -> None:
    pass


@plinth.command()
def dev(
    *,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    reload: Annotated[bool, typer.Option(help="Start anew when a file of app/ changes.")] = True,
) -> None:
    """Start what is needed, migrate, and serve with reload: what `make dev` runs.

    Ctrl-C ends all of it; the data stays.
    """
    from plinth.cli.dev import run

    run(host, port, reload=reload)


@plinth.command()
def serve(
    *,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Annotated[
        int,
        typer.Option(help="Processes; about one for each core.", min=1, envvar="WEB_CONCURRENCY"),
    ] = 1,
    timeout_graceful_shutdown: Annotated[
        int, typer.Option(help="Seconds for requests in flight when the server is stopped.", min=0)
    ] = 20,
) -> None:
    """Serve in production: several workers, no reload, no migrations.

    Behind a proxy, set TRUSTED_PROXIES.
    """
    with loading():
        from plinth.cli.serve import run

    run(host, port, workers, grace=timeout_graceful_shutdown)


@plinth.command()
def worker() -> None:
    """Send the mails that wait in the database, until stopped.

    The server does so too; with MAIL_WORKER=false it leaves them to this.
    """
    from plinth.cli.worker import run

    run()


@plinth.command()
def create_superuser(
    *,
    email: Annotated[str | None, typer.Option(help="The e-mail to sign in with.")] = None,
    username: Annotated[str | None, typer.Option(help="3 to 50 letters, digits, _ and -.")] = None,
    full_name: Annotated[str | None, typer.Option(help="May be left out.")] = None,
    password_env: Annotated[
        str | None, typer.Option(metavar="VAR", help="Take the password from this variable.")
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take the password from this file.")
    ] = None,
    promote: Annotated[
        bool,
        typer.Option(
            "--promote", help="Make the user who has this e-mail a superuser; the password stays."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --promote.")] = False,
) -> None:
    """Make a superuser. Asks for what is missing.

    The password itself is no option: others could read it in the list of processes, and the shell
    would keep it.
    """
    from plinth.cli.users import superuser

    if promote:
        superuser.promote(email, yes=yes)
    else:
        superuser.create(email, username, full_name, password_env, password_file)


@plinth.command()
def doctor(
    *,
    workers: Annotated[
        int, typer.Option(help="Worker processes in all.", min=1, envvar="WEB_CONCURRENCY")
    ] = 1,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check the settings and what they point to, and say what to do about each fault.

    Ends with 1 when something is broken.
    """
    from plinth.cli.doctor import run

    run(workers, as_json=json)


@plinth.command()
def openapi(
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there.")
    ] = None,
) -> None:
    """Print the OpenAPI document, from which clients are made; nothing has to run for it."""
    from plinth.cli.openapi import run

    run(output)


@plinth.command()
def new(
    name: Annotated[str, typer.Argument(help="The singular, in snake_case: note, work_item.")],
    fields: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FIELD...",
            help="name:type[:length or table][?][=default], as title:str:200 body:text? "
            "priority:int=0 project:ref:projects. Types: str, text, int, float, decimal, bool, "
            "date, datetime, uuid, json, ref. With ? it may be null.",
            show_default=False,
        ),
    ] = None,
    *,
    owned: Annotated[
        bool, typer.Option("--owned", help="Each row belongs to the user who created it.")
    ] = False,
    public: Annotated[bool, typer.Option("--public", help="Anyone may read.")] = False,
    search: Annotated[
        str | None, typer.Option(metavar="A,B", help="The text columns that ?q= searches.")
    ] = None,
    unique: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A[,B]",
            help="No two rows (of one owner) may have the same value. May be given again.",
        ),
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Store these and never show them. The default for names such as password, token.",
        ),
    ] = None,
    shown: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Show these, although their names sound secret."),
    ] = None,
    plural: Annotated[
        str | None, typer.Option(help="The name of the table, where the guess is wrong.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Write a resource: model, schemas, queries, routes, migration and tests.

    With --owned, the owner of a row reads and writes it; otherwise users read and superusers
    write. With --public, anyone reads. Files that you changed are never overwritten.
    """
    from plinth.cli.new import create

    create.run(
        name,
        fields or (),
        plural=plural,
        owned=owned,
        public=public,
        search=search,
        unique=unique or (),
        secret=secret,
        shown=shown,
        dry_run=dry_run,
    )


@plinth.command()
def remove(
    name: Annotated[str, typer.Argument(help="As `plinth new` got it.")],
    *,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a resource that `plinth new` wrote, with its tests; a migration drops its table."""
    from plinth.cli.new import remove

    remove.run(name, dry_run=dry_run, yes=yes)


plinth.add_typer(scaffold)
plinth.add_typer(db)
plinth.add_typer(keys)
plinth.add_typer(users)
plinth.add_typer(audit)
