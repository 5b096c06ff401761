"""`plinth db prune`: delete old rows now."""

import asyncio

from rich.progress import Progress, TextColumn

from plinth.cli.connecting import connected, database_errors
from plinth.cli.failure import Failure
from plinth.cli.output import err, out, print_facts
from plinth.config import settings
from plinth.db.retention import PAUSE_SECONDS, RetentionError
from plinth.devservices.service_urls import ServiceUrls, running_services
from plinth.organizations.services.retention import RULES


def run() -> None:
    with running_services(settings) as services, database_errors(services.database_url):
        deleted = asyncio.run(_prune(services))
    out.print("Deleted rows:")
    print_facts((table, str(count)) for table, count in deleted.items())


async def _prune(services: ServiceUrls) -> dict[str, int]:
    """Return the number of deleted rows of each table."""
    deleted: dict[str, int] = {}
    columns = TextColumn("{task.description}"), TextColumn("{task.completed} rows deleted")
    progress = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
    async with connected(services) as database:
        with progress:
            for rule in RULES:
                task = progress.add_task(rule.table, total=None)
                deleted[rule.table] = 0
                try:
                    async for count in rule.batches(database):
                        deleted[rule.table] += count
                        progress.update(task, completed=deleted[rule.table])
                        await asyncio.sleep(PAUSE_SECONDS)
                except RetentionError as error:
                    raise Failure(f"{rule.table}: {error}.") from error
    return deleted
