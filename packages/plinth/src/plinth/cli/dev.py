import os
import shlex
from pathlib import Path

import typer

import plinth
from plinth import project
from plinth.cli.db.migrate import migrate
from plinth.cli.failure import Failure, describe
from plinth.cli.output import out, print_facts
from plinth.cli.server import address, listening, serve_reloading, serve_workers
from plinth.config import settings
from plinth.config.urls.postgres_url import libpq_url
from plinth.devservices.service_urls import ServiceUrls, running_services
from plinth.observability import logs

GRACE_SECONDS = 2  # seconds for requests in flight, at each reload
LAST_PORT = 65535


def run(host: str, port: int, *, reload: bool) -> None:
    if not settings.is_development:
        raise Failure(
            f"ENVIRONMENT is {settings.ENVIRONMENT} and this is for development: "
            "run `plinth db upgrade` and then `plinth serve`."
        )
    logs.set_up()
    try:
        _serve(host, port, reload)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _serve(host: str, port: int, reload: bool) -> None:
    other = port + 1 if port < LAST_PORT else 8001
    way_out = f"take another: `make dev PORT={other}`, or `plinth dev --port {other}`."
    with listening(host, port, way_out=way_out) as opened, running_services(settings) as backing:
        migrate(backing)
        _print_banner(address(opened), backing)
        if reload:
            # Held here and handed down, the services outlast each reload.
            os.environ |= backing.as_environment()
            serve_reloading(opened, watched_folders(), grace=GRACE_SECONDS)
        else:
            serve_workers(opened, 1, grace=GRACE_SECONDS)


def watched_folders() -> list[Path]:
    """Return the application's folder and, if it is no installed copy, the library's."""
    library = Path(plinth.__file__).parent
    folders = [project.find_root() / project.find_package()]
    return folders if "site-packages" in library.parts else [*folders, library]


def _print_banner(api: str, backing: ServiceUrls) -> None:
    database = describe(libpq_url(backing.owner_url))
    print_facts(
        [
            ("API", api),
            ("docs", f"{api}/docs"),
            *([("admin", f"{api}/admin")] if settings.has_admin else []),
            ("PostgreSQL", f"psql {shlex.quote(database)}"),
            ("Valkey", _redis_command(backing.redis_url)),
            ("DATA_DIR", str(settings.DATA_DIR.resolve())),
            ("superuser", ".venv/bin/plinth create-superuser"),
        ]
    )
    out.print("Ctrl-C ends all of it; the data stays.")


def _redis_command(url: str) -> str:
    """redis-cli takes a socket as an option, and anything else as a URL."""
    scheme, _, rest = url.partition("://")
    if scheme == "unix":
        return f"redis-cli -s {shlex.quote(rest.partition('?')[0])}"
    return f"redis-cli -u {shlex.quote(describe(url))}"
