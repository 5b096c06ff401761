"""Sends the mails of the outbox, in the server or in a process of its own (`plinth worker`).

A mail is taken by one worker for the time of a lease, sent outside of any transaction, and then
marked. It arrives at least once. A second copy needs that a process dies, or loses the database,
between the mail server's yes and the mark; it has the same Message-ID.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.queries.mail import TakenMail
from plinth.accounts.services import audit, credentials, outbox, throttle
from plinth.accounts.services.session_cleaner import SessionCleaner
from plinth.config import settings
from plinth.db.database import Database
from plinth.errors import PlinthError, RateLimited
from plinth.mail import NeverDeliverable, NotDelivered, is_configured, render_message, send
from plinth.resources import idempotency

logger = logging.getLogger(__name__)

FINISH_SECONDS = 10  # for the mails in hand, when the process is asked to end
LEASE_SHARE = 0.8  # of the lease is for sending; the rest for being late
RETRY_FACTOR, MAX_RETRY_SECONDS = 5, 6 * 3600
TIDY_SECONDS = 3600
SETTLE_SECONDS = 0.5
MAX_ERROR_LENGTH = 500

Prepare = Callable[..., Awaitable[None]]
PREPARED: dict[str, Prepare] = {credentials.FORGOTTEN: credentials.materialize_reset}
"""Kinds that are no mail yet: what makes one of them, in a transaction of its own."""

Settle = Callable[[AsyncSession], Awaitable[None]]


@asynccontextmanager
async def mail_worker(database: Database) -> AsyncIterator[None]:
    """Mails are sent meanwhile. At the end those in hand are finished, within a bound."""
    worker = MailWorker(database)
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await task


class MailWorker:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._bell = asyncio.Event()
        self._stopping = False
        self._in_hand: set[asyncio.Task[None]] = set()
        self._unsettled = 0
        self._tidied = -float(TIDY_SECONDS)
        self._sessions = SessionCleaner(database)

    async def run(self) -> None:
        if not is_configured():
            logger.warning("SMTP_HOST is not set: mails wait in the database")
        with outbox.listening(self._bell):
            while not self._stopping:
                self._bell.clear()
                try:
                    await self._start_what_is_due()
                    await self._tidy()
                    if await self._sessions.clean_some():
                        self._bell.set()  # there is more, and mails take their turn in between
                except PlinthError:
                    logger.warning("the database does not answer; mails wait")
                except Exception:
                    logger.exception("the mail worker goes on")
                await self._rest()
        await self._finish()

    def stop(self) -> None:
        self._stopping = True
        self._bell.set()

    async def _start_what_is_due(self) -> None:
        free = settings.MAIL_CONCURRENCY - len(self._in_hand)
        # While the database does not take the mark of a mail that went out, no other is begun: the
        # first thing it shall hear when it is back is that mark.
        if free <= 0 or self._unsettled or not is_configured():
            return
        deadline = time.monotonic() + settings.MAIL_LEASE_SECONDS * LEASE_SHARE
        lease = timedelta(seconds=settings.MAIL_LEASE_SECONDS)
        taken = await self._database.repeated(
            lambda db: queries.mail.take(db, limit=free, lease=lease)
        )
        for mail in taken:
            task = asyncio.create_task(self._handle(mail, deadline))
            self._in_hand.add(task)
            task.add_done_callback(self._put_down)

    def _put_down(self, task: asyncio.Task[None]) -> None:
        self._in_hand.discard(task)
        self._bell.set()

    async def _handle(self, mail: TakenMail, deadline: float) -> None:
        settle = await _try(self._database, mail, deadline)
        if settle is None or await self._write_down(settle):
            return
        self._unsettled += 1
        while not await self._write_down(settle):  # noqa: ASYNC110 - the database does not ring
            await asyncio.sleep(SETTLE_SECONDS)
        self._unsettled -= 1

    async def _write_down(self, settle: Settle) -> bool:
        try:
            await self._database.repeated(settle)
        except PlinthError:
            return False
        return True

    async def _tidy(self) -> None:
        if time.monotonic() - self._tidied < TIDY_SECONDS:
            return
        async with self._database.transaction() as db:
            await queries.mail.purge(db, older_than=timedelta(days=settings.MAIL_KEEP_DAYS))
            await queries.one_time_token.purge(db)
            await idempotency.purge(db)
        self._tidied = time.monotonic()

    async def _rest(self) -> None:
        """Until this process writes a mail, one is put down, or it is time to look what others
        wrote and what is to be tried again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.MAIL_POLL_SECONDS * random.uniform(0.8, 1.2)):  # noqa: S311
                await self._bell.wait()

    async def _finish(self) -> None:
        if not self._in_hand:
            return
        _, late = await asyncio.wait(self._in_hand, timeout=FINISH_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


async def _try(database: Database, mail: TakenMail, deadline: float) -> Settle | None:
    """Send it, or prepare it. What is left is to write down how it went."""
    try:
        await _send(database, mail, deadline)
    except NeverDeliverable as error:
        return _giving_up(mail, str(error))
    except RateLimited as error:
        return _suppressing(mail, error)
    except NotDelivered as error:
        return _postponing(mail, str(error))
    except PlinthError as error:
        return _postponing(mail, f"the database: {error.detail}")
    except Exception as error:
        logger.exception("mail %s (%s) could not be made", mail.id, mail.kind)
        return _postponing(mail, f"{type(error).__name__}: {error}")
    return None if mail.kind in PREPARED else _marking(mail)


async def _send(database: Database, mail: TakenMail, deadline: float) -> None:
    if mail.attempt > settings.MAIL_MAX_ATTEMPTS:
        raise NeverDeliverable("taken too often by workers that did not come back")
    try:
        context = outbox.read_context(mail)
    except ValueError as error:
        raise NeverDeliverable(str(error)) from None
    if prepare := PREPARED.get(mail.kind):
        await _prepare(database, mail, prepare, context)
        return
    if context.get("expires_at", math.inf) < time.time():
        raise NeverDeliverable("its link expired before it could be sent")
    assert mail.recipient is not None
    if mail.attempt == 1:  # a later attempt sends the same mail
        await throttle.limit_mail(
            mail.kind, mail.recipient, is_reset=mail.kind == credentials.RESET_MAIL
        )
    try:
        letter = render_message(
            mail.kind,
            number=mail.id,
            written=mail.created_at,
            recipient=mail.recipient,
            context=context,
        )
    except ValueError as error:
        raise NeverDeliverable(f"the mail cannot be written: {error}") from error
    await send(letter, seconds=deadline - time.monotonic())


async def _prepare(
    database: Database, mail: TakenMail, prepare: Prepare, context: dict[str, Any]
) -> None:
    async with database.transaction() as db:
        if await queries.mail.hold(db, mail):
            await prepare(db, mail, **context)


def _marking(mail: TakenMail) -> Settle:
    logger.info("mail %s (%s) is sent", mail.id, mail.kind)
    return lambda db: queries.mail.mark_sent(db, mail)


def _postponing(mail: TakenMail, error: str) -> Settle:
    if mail.attempt >= settings.MAIL_MAX_ATTEMPTS:
        return _giving_up(mail, error)
    seconds = settings.MAIL_RETRY_SECONDS * RETRY_FACTOR ** (mail.attempt - 1)
    # Jitter, so that what failed together does not come back together.
    wait = timedelta(seconds=min(seconds, MAX_RETRY_SECONDS) * random.uniform(0.8, 1.2))  # noqa: S311
    logger.warning("mail %s (%s) waits: %s", mail.id, mail.kind, _clean(error))
    return lambda db: queries.mail.postpone(db, mail, wait=wait, error=_clean(error))


def _suppressing(mail: TakenMail, error: RateLimited) -> Settle:
    limits = ", ".join(limit.name for limit in error.exceeded)
    logger.warning("mail %s (%s) is suppressed: its address has had %s", mail.id, mail.kind, limits)

    async def settle(db: AsyncSession) -> None:
        await queries.mail.remove(db, mail)
        if error.is_first:  # one row a window, and not one for each mail of a flood
            audit.record(
                db,
                "mail.suppressed",
                outcome="failure",
                subject_id=None,
                reason=f"{mail.kind}: {limits} is used up",
            )

    return settle


def _giving_up(mail: TakenMail, error: str) -> Settle:
    logger.error("mail %s (%s) is given up: %s", mail.id, mail.kind, _clean(error))
    return lambda db: queries.mail.give_up(db, mail, error=_clean(error))


def _clean(error: str) -> str:
    """What a server said may hold anything; a line of the log may not."""
    line = " ".join(error.split())
    return "".join(char for char in line if char.isprintable())[:MAX_ERROR_LENGTH]
