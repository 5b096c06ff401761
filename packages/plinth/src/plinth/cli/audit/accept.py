import asyncio

from plinth.accounts.services.audit import checkpoints
from plinth.cli.connecting import connected, database_errors
from plinth.cli.failure import Failure
from plinth.cli.output import confirm, out
from plinth.config import settings
from plinth.devservices.service_urls import ServiceUrls, running_services


def run(*, yes: bool) -> None:
    if not yes:
        confirm(
            "Nothing will prove that retention deleted the events that are missing at the "
            "beginning of the log. Continue?"
        )
    with running_services(settings) as services, database_errors(services.database_url):
        last_id = asyncio.run(_accept(services))
    if last_id is None:
        raise Failure("There is no checkpoint: retention has deleted no event.")
    out.print(f"Signed the checkpoint of event {last_id}. Next: run `plinth audit verify`.")


async def _accept(services: ServiceUrls) -> int | None:
    async with connected(services) as database, database.transaction() as db:
        return await checkpoints.accept(db)
