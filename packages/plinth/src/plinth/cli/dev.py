import os
import shlex
from pathlib import Path
from socket import socket

import typer

import plinth
from plinth import project
from plinth.cli.db.migrate import migrate
from plinth.cli.failure import Failure, describe
from plinth.cli.output import out, print_facts
from plinth.cli.server import address, listening, serve_reloading, serve_workers
from plinth.config import bind, settings
from plinth.config.urls.postgres_url import libpq_url
from plinth.devservices.service_urls import ServiceUrls, running_services
from plinth.observability import logs

GRACE_SECONDS = 2  # for running requests, at each reload
LAST_PORT = 65535


def run(host: str, port: int, *, reload: bool) -> None:
    if not settings.is_development:
        raise Failure(_refuse_environment())
    logs.set_up()
    try:
        _serve(host, port, reload)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _refuse_environment() -> str:
    environment, file = settings.ENVIRONMENT, type(settings).model_config.get("env_file")
    if os.environ.get("ENVIRONMENT"):
        place, remedy = "the environment variable ENVIRONMENT", "unset it"
    else:
        place, remedy = f"ENVIRONMENT in {file}", f"move {file} to the server, or rename it"
    return (
        f"`plinth dev` is for development, but {place} is {environment}: {remedy}. To serve with "
        f"these settings, run `plinth db upgrade` and then `plinth serve`."
    )


def _serve(host: str, port: int, reload: bool) -> None:
    other = port + 1 if port < LAST_PORT else 8001
    hint = f"choose another one with `make dev PORT={other}` or `plinth dev --port {other}`."
    with listening(host, port, hint=hint) as opened:
        _use_port(opened.getsockname()[1])
        _serve_on(opened, reload)


def _use_port(port: int) -> None:
    """Let providers, passkeys and mails lead to the port, unless `API_ORIGIN` is set."""
    if "API_ORIGIN" not in settings.model_fields_set:
        os.environ["API_ORIGIN"] = f"http://localhost:{port}"
        bind(type(settings))  # derives other settings from it


def _serve_on(opened: socket, reload: bool) -> None:
    with running_services(settings) as services:
        migrate(services)
        _print_banner(address(opened), services)
        if reload:
            # The parent process owns the services, so that they keep running at a reload.
            os.environ |= services.as_environment()
            serve_reloading(opened, watched_folders(), grace=GRACE_SECONDS)
        else:
            serve_workers(opened, 1, grace=GRACE_SECONDS)


def watched_folders() -> list[Path]:
    """Return the application's folder and, in a checkout, the library's."""
    library = Path(plinth.__file__).parent
    folders = [project.find_root() / project.find_package()]
    return folders if "site-packages" in library.parts else [*folders, library]


def _print_banner(api: str, services: ServiceUrls) -> None:
    database = describe(libpq_url(services.owner_url))
    # Browsers allow passkeys on localhost, and not on an IP address.
    account = f"{api}/account".replace("//127.0.0.1", "//localhost")
    print_facts(
        [
            ("API", api),
            ("Docs", f"{api}/docs"),
            *([("Account", account)] if settings.has_account_page else []),
            *([("Admin", f"{api}/admin")] if settings.has_admin else []),
            ("PostgreSQL", f"psql {shlex.quote(database)}"),
            ("Valkey", _redis_command(services.redis_url)),
            ("DATA_DIR", str(settings.DATA_DIR.resolve())),
            ("Superuser", ".venv/bin/plinth create-superuser"),
        ]
    )
    out.print("Press Ctrl-C to stop everything. The data is kept.")


def _redis_command(url: str) -> str:
    """Return the redis-cli command; a socket is an option and not a URL."""
    scheme, _, rest = url.partition("://")
    if scheme == "unix":
        return f"redis-cli -s {shlex.quote(rest.partition('?')[0])}"
    return f"redis-cli -u {shlex.quote(describe(url))}"
