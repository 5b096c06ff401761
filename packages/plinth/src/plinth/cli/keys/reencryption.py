"""`plinth keys reencrypt`."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

from plinth.accounts.methods import totp
from plinth.accounts.services import outbox
from plinth.cli.connecting import connected, database_errors
from plinth.cli.output import out
from plinth.config import settings
from plinth.db.database import Database
from plinth.devservices.service_urls import ServiceUrls, running_services
from plinth.security.encryption import Reencrypted

BATCH_SIZE = 500
FIRST_ID = UUID(int=0)
Reencrypt = Callable[..., Awaitable[Reencrypted | None]]


def run() -> None:
    with running_services(settings) as services, database_errors(services.database_url):
        apps, mails = asyncio.run(_reencrypt(services))
    out.print(f"Encrypted {apps.done} secrets of apps and {mails.done} mails with SECRET_KEY.")
    if lost := apps.lost + mails.lost:
        out.print(
            f"{lost} could not be decrypted: add the SECRET_KEY of their time to "
            "SECRET_KEY_FALLBACKS and run this again. Without it, `plinth users reset-mfa` "
            "helps the users, and the mails cannot be sent."
        )
    elif settings.SECRET_KEY_FALLBACKS:
        minutes = max(settings.MFA_CHALLENGE_MINUTES, 10)
        out.print(
            f"SECRET_KEY_FALLBACKS can be emptied in {minutes} minutes, when pending sign-ins have "
            "expired, if every process has the present SECRET_KEY."
        )


async def _reencrypt(services: ServiceUrls) -> tuple[Reencrypted, Reencrypted]:
    async with connected(services) as database:
        return (
            await _reencrypt_all(database, totp.reencrypt),
            await _reencrypt_all(database, outbox.reencrypt),
        )


async def _reencrypt_all(database: Database, reencrypt: Reencrypt) -> Reencrypted:
    """Encrypt all rows, in small transactions."""
    total = Reencrypted(0, 0, FIRST_ID)
    while True:
        async with database.transaction() as db:
            batch = await reencrypt(db, total.last_id, limit=BATCH_SIZE)
        if batch is None:
            return total
        total = Reencrypted(total.done + batch.done, total.lost + batch.lost, batch.last_id)
