"""`plinth worker` killed with SIGKILL while it sends, and started again.

Each mail arrives. A mail that the server had already accepted may arrive twice, with the same
Message-ID.
"""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from plinth.accounts.services import outbox
from plinth.config import settings
from plinth.db.database import Database
from tests.support.command import start_plinth
from tests.support.mail_server import Inbox, none_waits, serving_mail
from tests.support.waiting import until

MAILS = 20
AT_ONCE = 4
PASS = 5
STEPS = ("EHLO", "MAIL", "RCPT", "DATA")
PATIENCE = 60  # seconds


@dataclass(slots=True)
class Gate(Inbox):
    """Forward some connections, and stop responding to the others after one step."""

    passes: int = MAILS
    keeps: bool = False
    """At DATA: whether it takes the mail before it falls silent."""
    stuck: int = 0

    async def handle_EHLO(  # noqa: N802 - aiosmtpd calls it so
        self, _server: Any, session: Any, _envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        session.silent_from = None if self.passes > 0 else random.choice(STEPS)
        if self.keeps:
            session.silent_from = "DATA"
        self.passes -= 1
        await self._answer(session, "EHLO")
        return responses

    async def handle_MAIL(  # noqa: N802
        self, _server: Any, session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        await self._answer(session, "MAIL")
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        await self._answer(session, "RCPT")
        return await Inbox.handle_RCPT(self, server, session, envelope, address, options)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if not self.keeps:
            await self._answer(session, "DATA")
        reply = await Inbox.handle_DATA(self, server, session, envelope)
        if self.keeps:
            await self._answer(session, "DATA")
        return reply

    async def _answer(self, session: Any, step: str) -> None:
        if session.silent_from == step:
            self.stuck += 1
            await asyncio.Event().wait()  # until the connection is closed


@pytest.fixture
def server() -> Iterator[Gate]:
    gate = Gate()
    with serving_mail(gate):
        yield gate


@pytest.fixture
async def recipients(database: Database) -> list[str]:
    """Enqueue mails and return their recipients."""
    found = [f"person{number}@example.com" for number in range(MAILS)]
    async with database.transaction() as db:
        for recipient in found:
            await outbox.enqueue(
                db, "password_changed", recipient, username="ann", page="forgot-password"
            )
    return found


@contextmanager
def worker(environment: dict[str, str], server: Inbox, folder: Path) -> Iterator[None]:
    """Run a worker and kill it at the end."""
    given = environment | {
        "SECRET_KEY": settings.SECRET_KEY,
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(server.port),
        "SMTP_TLS": "none",
        "MAIL_CONCURRENCY": str(AT_ONCE),
        "MAIL_POLL_SECONDS": "0.1",
    }
    process = start_plinth("worker", log=folder / "worker.log", **given)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def expire_leases(second: asyncpg.Connection) -> int:
    """Expire the leases of the dead worker, and return how many mails it had leased."""
    ended = await second.execute(
        "UPDATE mails SET leased_until = now() WHERE sent_at IS NULL AND leased_until > now()"
    )
    return int(ended.split()[-1])


async def sent(second: asyncpg.Connection, number: int) -> None:
    """Wait until this number of mails is marked as sent."""
    marked = "SELECT count(*) FROM mails WHERE sent_at IS NOT NULL"
    async with asyncio.timeout(PATIENCE):
        while await second.fetchval(marked) < number:  # noqa: ASYNC110 - the database sends no event
            await asyncio.sleep(0.01)


async def test_mail_of_a_worker_killed_before_acceptance_arrives_once(
    server: Gate,
    recipients: list[str],
    environment: dict[str, str],
    second: asyncpg.Connection,
    tmp_path: Path,
) -> None:
    for kills in (1, 2):
        server.passes, server.stuck = PASS, 0
        with worker(environment, server, tmp_path):
            await until(lambda: server.stuck == AT_ONCE, PATIENCE)
            await sent(second, kills * PASS)
            await asyncio.sleep(random.uniform(0, 0.05))
        assert await expire_leases(second) == AT_ONCE
    server.passes = MAILS
    with worker(environment, server, tmp_path):
        await none_waits(second, PATIENCE)

    assert sorted(letter["To"] for letter in server.letters) == sorted(recipients)
    assert len({letter["Message-ID"] for letter in server.letters}) == MAILS
    assert await second.fetchval("SELECT count(*) FROM mails WHERE dead_at IS NOT NULL") == 0


async def test_duplicate_after_a_kill_has_the_same_message_id(
    server: Gate,
    recipients: list[str],
    environment: dict[str, str],
    second: asyncpg.Connection,
    tmp_path: Path,
) -> None:
    server.keeps = True
    with worker(environment, server, tmp_path):
        await until(lambda: server.stuck == AT_ONCE, PATIENCE)
    twice = {letter["Message-ID"] for letter in server.letters}
    assert await expire_leases(second) == len(twice) == AT_ONCE
    server.keeps, server.passes = False, MAILS
    with worker(environment, server, tmp_path):
        await none_waits(second, PATIENCE)

    copies = Counter(letter["Message-ID"] for letter in server.letters)
    assert len(copies) == MAILS
    assert {number for number, count in copies.items() if count > 1} == twice
    assert set(copies.values()) == {1, 2}
