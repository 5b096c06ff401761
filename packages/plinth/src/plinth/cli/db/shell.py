import asyncio
import signal
import subprocess

import typer

from plinth.cli.connecting import database_errors
from plinth.cli.db.facts import find_server
from plinth.cli.db.programs import Target, find_programs
from plinth.config import settings
from plinth.devservices.service_urls import running_services


def run() -> None:
    with running_services(settings) as services:
        with database_errors(services.owner_url):
            major, _ = asyncio.run(find_server(services.owner_url))
        psql = find_programs("psql", major)[0]
        target = Target.of(services.owner_url)
        # In psql, Ctrl-C cancels a query. This process must survive to stop an embedded server.
        signal.signal(signal.SIGINT, lambda *_: None)
        done = subprocess.run(
            [psql.path, "--dbname", target.url], env=target.environment, check=False
        )
    raise typer.Exit(done.returncode)
