"""`plinth worker`: the mail worker of `accounts/services` in a process of its own."""

import asyncio
import signal

from plinth.accounts.services.mail_worker import mail_worker
from plinth.cli.application import load_metadata
from plinth.cli.output import out
from plinth.cli.signals import ENDING
from plinth.config import settings
from plinth.db.database import Database
from plinth.devservices.service_urls import ServiceUrls, running_services
from plinth.mail import describe_transport
from plinth.observability import logs


def run() -> None:
    logs.set_up()
    with running_services(settings) as backing:
        asyncio.run(_work(backing))


async def _work(backing: ServiceUrls) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, *ENDING):
        loop.add_signal_handler(number, stopped.set)
    database = Database(backing.database_url, settings, load_metadata())
    try:
        async with mail_worker(database):
            out.print(f"Sending mail {describe_transport()}; Ctrl-C ends it", markup=False)
            await stopped.wait()
    finally:
        await database.close()
