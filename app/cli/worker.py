"""`plinth worker`: the mail worker of `services/mail_worker.py` in a process of its own."""

import asyncio
import signal

from app.cli.output import out
from app.cli.signals import ENDING
from app.core import logs
from app.core.backing import Backing, backing_services
from app.core.config import settings
from app.core.database import Database
from app.core.mail import tell_way
from app.models import Base
from app.services.mail_worker import mail_worker


def run() -> None:
    logs.set_up()
    with backing_services(settings) as backing:
        asyncio.run(_work(backing))


async def _work(backing: Backing) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, *ENDING):
        loop.add_signal_handler(number, stopped.set)
    database = Database(backing.database_url, settings, Base.metadata)
    try:
        async with mail_worker(database):
            out.print(f"Sending mail {tell_way()}; Ctrl-C ends it", markup=False)
            await stopped.wait()
    finally:
        await database.close()
