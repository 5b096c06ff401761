"""The commands of `plinth` and their options.

A command imports its implementation when it runs. That import reads the settings, and
`plinth --help` must work with invalid settings too.
"""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from plinth.cli.api_keys.commands import api_keys
from plinth.cli.audit.commands import audit
from plinth.cli.db.commands import db
from plinth.cli.keys.commands import keys
from plinth.cli.loading import loading
from plinth.cli.start.commands import scaffold
from plinth.cli.users.commands import users

Host = Annotated[str, typer.Option(help="Address to listen on.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the diff without changing files.")]
Port = Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)]

plinth = typer.Typer(
    help="Develop, run and maintain a backend on FastAPI, PostgreSQL and Redis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(requested: bool) -> None:
    if not requested:
        return
    try:
        print(f"plinth {version('plinth-backend')}")
    except PackageNotFoundError:
        print("plinth, not installed as a package")
    raise typer.Exit


@plinth.callback()
def _global_options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


@plinth.command()
def dev(
    *,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    reload: Annotated[bool, typer.Option(help="Restart when a file in app/ changes.")] = True,
) -> None:
    """Run the development server, with its database and Redis.

    Starts an embedded PostgreSQL and Valkey if DATABASE_URL and REDIS_URL are not set, runs pending
    migrations, and serves with reload. Ctrl-C stops everything; the data is kept.
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
        typer.Option(
            help="Number of processes, about one per core.", min=1, envvar="WEB_CONCURRENCY"
        ),
    ] = 1,
    timeout_graceful_shutdown: Annotated[
        int, typer.Option(help="Seconds that running requests get to finish at a stop.", min=0)
    ] = 20,
) -> None:
    """Run the production server.

    It neither reloads nor migrates: run `plinth db upgrade` before. Behind a proxy, set
    TRUSTED_PROXIES.
    """
    with loading():
        from plinth.cli.server import run

    run(host, port, workers, grace=timeout_graceful_shutdown)


@plinth.command()
def worker() -> None:
    """Send queued mails until stopped.

    The server sends them as well, unless MAIL_WORKER is false.
    """
    from plinth.cli.worker import run

    run()


@plinth.command()
def create_superuser(
    *,
    email: Annotated[str | None, typer.Option(help="Email address to sign in with.")] = None,
    username: Annotated[
        str | None, typer.Option(help="Username: 3 to 50 letters, digits, _ and -.")
    ] = None,
    full_name: Annotated[str | None, typer.Option(help="Full name. Optional.")] = None,
    password_env: Annotated[
        str | None,
        typer.Option(metavar="VAR", help="Environment variable that contains the password."),
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File that contains the password.")
    ] = None,
    promote: Annotated[
        bool,
        typer.Option(
            "--promote", help="Promote the existing user with this email address instead."
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask for confirmation before --promote.")
    ] = False,
) -> None:
    """Create a superuser.

    Prompts for the values that are not given as options. There is no option for the password
    itself, because the process list and the shell history would show it.
    """
    from plinth.cli.users import superuser

    if promote:
        superuser.refuse_options(username, full_name, password_env, password_file)
        superuser.promote(email, yes=yes)
    else:
        superuser.create(email, username, full_name, password_env, password_file)


@plinth.command()
def doctor(
    *,
    workers: Annotated[
        int,
        typer.Option(
            help="Total number of worker processes on all hosts.", min=1, envvar="WEB_CONCURRENCY"
        ),
    ] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the settings, the database, Redis and mail.

    Prints a fix for each problem. Exits with 1 if a check failed; warnings do not count.
    """
    from plinth.cli.doctor import run

    run(workers, as_json=json)


@plinth.command()
def openapi(
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="File to write instead of stdout."),
    ] = None,
) -> None:
    """Print the OpenAPI document. Needs no running server or database."""
    from plinth.cli.application import print_openapi

    print_openapi(output)


@plinth.command()
def new(
    name: Annotated[
        str, typer.Argument(help="Singular name in snake_case, such as note or work_item.")
    ],
    fields: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FIELD...",
            help="Columns as name:type[:length or table][?][=default], such as title:str:200 "
            "body:text? priority:int=0 project:ref:projects. Types: str, text, int, float, "
            "decimal, bool, date, datetime, uuid, json, ref. A ? makes the column nullable.",
            show_default=False,
        ),
    ] = None,
    *,
    owned: Annotated[
        bool, typer.Option("--owned", help="Give each row to the user who created it.")
    ] = False,
    org: Annotated[
        bool, typer.Option("--org", help="Give each row to an organization; only members see it.")
    ] = False,
    public: Annotated[
        bool, typer.Option("--public", help="Allow reading without signing in.")
    ] = False,
    search: Annotated[
        str | None, typer.Option(metavar="A,B", help="Text columns that ?q= searches.")
    ] = None,
    unique: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A[,B]",
            help="Columns whose values must be unique, per owner with --owned or --org. "
            "Repeatable.",
        ),
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Columns that no response contains. Default: names such as password and token.",
        ),
    ] = None,
    shown: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="Columns that responses contain, although named like a secret."
        ),
    ] = None,
    plural: Annotated[
        str | None, typer.Option(help="Table name, if the derived plural is wrong.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Generate a resource: model, schemas, queries, routes, migration and tests.

    By default, signed-in users read and superusers write. With --owned, only the owner of a row
    reads and writes it. With --org, the rows belong to organizations, which policies of
    PostgreSQL isolate, and a member's role decides. Files that you changed are not overwritten.
    """
    from plinth.cli.new import create

    create.run(
        name,
        fields or (),
        plural=plural,
        owned=owned,
        org=org,
        public=public,
        search=search,
        unique=unique or (),
        secret=secret,
        shown=shown,
        dry_run=dry_run,
    )


@plinth.command()
def remove(
    name: Annotated[str, typer.Argument(help="Name that was passed to `plinth new`.")],
    *,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove a resource that `plinth new` generated, and its tests.

    If the resource's migration is the newest one, undo it first with `plinth db downgrade`; this
    command then deletes it. Otherwise, a new migration drops the table.
    """
    from plinth.cli.new import remove

    remove.run(name, dry_run=dry_run, yes=yes)


plinth.add_typer(scaffold)
plinth.add_typer(db)
plinth.add_typer(keys)
plinth.add_typer(api_keys)
plinth.add_typer(users)
plinth.add_typer(audit)
