"""While the mail server is unavailable, mails stay queued; they are sent when it is back."""

import asyncio
import time
from pathlib import Path

import asyncpg

from tests.faults.conftest import Measured
from tests.faults.load import find_missing, loaded
from tests.support.command import find_free_port
from tests.support.mail_server import Inbox, serving_mail
from tests.support.postgres import OwnPostgres
from tests.support.serving import serving
from tests.support.valkey import OwnValkey

PATIENCE = 60


async def test_mails_are_queued_while_the_mail_server_is_down(
    folder: Path, postgres: OwnPostgres, valkey: OwnValkey, measured: Measured
) -> None:
    port = find_free_port()
    with serving(
        folder,
        DATABASE_URL=postgres.url,
        REDIS_URL=valkey.url,
        MAIL_WORKER="true",
        SMTP_HOST="127.0.0.1",
        SMTP_PORT=str(port),
        SMTP_TLS="none",
        MAIL_POLL_SECONDS="0.2",
        MAIL_RETRY_SECONDS="0.1",
    ) as api:
        async with loaded(api.url, writers=2, readers=1) as book:
            await asyncio.sleep(2)
            book.held.clear()
            await asyncio.sleep(0.5)
        slowest = book.slowest()
        back = time.monotonic()
        with serving_mail(Inbox(port)) as inbox:
            sent = await await_sent(postgres.url, len(book.acknowledged))
            took = time.monotonic() - back
    reached = [letter["To"] for letter in inbox.letters]
    measured("mails that waited, all sent after", f"{sent}, {took:.1f} s")
    measured("slowest answer while away", f"{slowest:.2f} s")
    book.check()
    assert book.refused == set()
    assert sorted(reached) == sorted(f"{name}@example.com" for name in book.acknowledged)
    assert await find_missing(book, postgres.url) == set()


async def await_sent(url: str, wanted: int) -> int:
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                sent = await connection.fetchval(
                    "SELECT count(*) FROM mails WHERE sent_at IS NOT NULL"
                )
                if sent >= wanted:
                    return int(sent)
                await asyncio.sleep(0.1)
    finally:
        await connection.close()
