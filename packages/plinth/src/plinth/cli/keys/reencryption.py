"""`plinth keys reencrypt`: encrypt and sign again what is stored with an earlier SECRET_KEY."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

from plinth.accounts.methods import totp
from plinth.accounts.services import outbox
from plinth.accounts.services.audit import checkpoints
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
        apps, mails, checkpoint = asyncio.run(_reencrypt(services))
    out.print(f"Encrypted {apps.done} secrets of apps and {mails.done} mails with SECRET_KEY.")
    if checkpoint == "signed":
        out.print("Signed the checkpoint of the audit log with SECRET_KEY.")
    if checkpoint == "unknown key":
        out.print(
            "The signature of the checkpoint of the audit log is wrong: add the SECRET_KEY of its "
            "time to SECRET_KEY_FALLBACKS and run this again (docs/explanation/audit.md)."
        )
    if lost := apps.lost + mails.lost:
        out.print(
            f"{lost} could not be decrypted: add the SECRET_KEY of their time to "
            "SECRET_KEY_FALLBACKS and run this again. Without it, `plinth users reset-mfa` "
            "helps the users, and the mails cannot be sent."
        )
    elif settings.SECRET_KEY_FALLBACKS and checkpoint != "unknown key":
        minutes = max(settings.MFA_CHALLENGE_MINUTES, 10)
        out.print(
            f"SECRET_KEY_FALLBACKS can be emptied in {minutes} minutes, when pending sign-ins have "
            "expired, if every process has the present SECRET_KEY."
        )


async def _reencrypt(services: ServiceUrls) -> tuple[Reencrypted, Reencrypted, str]:
    async with connected(services) as database:
        apps = await _reencrypt_all(database, totp.reencrypt)
        mails = await _reencrypt_all(database, outbox.reencrypt)
        async with database.transaction() as db:
            checkpoint = await checkpoints.resign(db)
    return apps, mails, checkpoint


async def _reencrypt_all(database: Database, reencrypt: Reencrypt) -> Reencrypted:
    """Encrypt all rows, in small transactions."""
    total = Reencrypted(0, 0, FIRST_ID)
    while True:
        async with database.transaction() as db:
            batch = await reencrypt(db, total.last_id, limit=BATCH_SIZE)
        if batch is None:
            return total
        total = Reencrypted(total.done + batch.done, total.lost + batch.lost, batch.last_id)
