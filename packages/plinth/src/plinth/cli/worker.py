"""`plinth worker`: send mails and delete old rows in a separate process."""

import asyncio
import signal

from plinth.accounts.services.mail_worker import mail_worker
from plinth.cli.application import load_metadata
from plinth.cli.output import out
from plinth.cli.signals import ENDING
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.privileges import check_role
from plinth.db.retention import retention_worker
from plinth.devservices.service_urls import ServiceUrls, running_services
from plinth.mail import describe_transport
from plinth.observability import logs
from plinth.organizations.services.retention import RULES


def run() -> None:
    logs.set_up()
    with running_services(settings) as services:
        asyncio.run(_work(services))


async def _work(services: ServiceUrls) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, *ENDING):
        loop.add_signal_handler(number, stopped.set)
    database = Database(services.database_url, settings, load_metadata())
    try:
        await check_role(database)
        async with mail_worker(database), retention_worker(database, RULES):
            out.print(f"Sending mail {describe_transport()}. Press Ctrl-C to stop.", markup=False)
            await stopped.wait()
    finally:
        await database.close()
