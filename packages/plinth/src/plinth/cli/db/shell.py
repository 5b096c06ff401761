import asyncio
import signal
import subprocess

import typer

from plinth.cli.connecting import reaching
from plinth.cli.db.facts import find_server
from plinth.cli.db.programs import Target, find_programs
from plinth.config import settings
from plinth.devservices.service_urls import running_services


def run() -> None:
    with running_services(settings) as backing:
        with reaching(backing.owner_url):
            major, _ = asyncio.run(find_server(backing.owner_url))
        psql = find_programs("psql", major)[0]
        target = Target.of(backing.owner_url)
        # Ctrl-C is psql's: it cancels a query. We stay, for an embedded server is ours to stop.
        signal.signal(signal.SIGINT, lambda *_: None)
        done = subprocess.run(
            [psql.path, "--dbname", target.url], env=target.environment, check=False
        )
    raise typer.Exit(done.returncode)
