"""The worker of the outbox, run by the server or by `plinth worker`.

A worker leases a mail, sends it outside of a transaction, and then saves the result. Delivery is at
least once: a mail is sent again, with the same Message-ID, if the process dies or loses the
database between the mail server's reply and the saved result.
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
from plinth.accounts.queries.mail import LeasedMail
from plinth.accounts.services import audit, credentials, outbox, throttle
from plinth.accounts.services.mailbox import email_codes
from plinth.config import settings
from plinth.db.database import Database
from plinth.errors import PlinthError, RateLimited
from plinth.mail import NeverDeliverable, NotDelivered, is_configured, render_message, send

logger = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 10  # for the mails in progress when the process stops
SENDING_SHARE = 0.8  # of the lease; the rest is a margin for delays
RETRY_FACTOR, MAX_RETRY_SECONDS = 5, 6 * 3600
SAVE_RETRY_SECONDS = 0.5
MAX_ERROR_LENGTH = 500

Materialize = Callable[..., Awaitable[None]]
MATERIALIZERS: dict[str, Materialize] = {
    credentials.FORGOTTEN: credentials.materialize_reset,
    email_codes.REQUESTED: email_codes.materialize,
}
"""Kinds of queued requests, each with the function that replaces one by a mail."""
REQUESTED_MAILS = {credentials.RESET_MAIL, email_codes.MAIL}

SaveResult = Callable[[AsyncSession], Awaitable[None]]


@asynccontextmanager
async def mail_worker(database: Database) -> AsyncIterator[None]:
    """Run a worker. On exit, wait at most `SHUTDOWN_SECONDS` for the mails in progress."""
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
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsaved_results = 0

    async def run(self) -> None:
        if not is_configured():
            logger.warning("SMTP_HOST is not set: mails stay in the outbox until it is")
        with outbox.wake_on_enqueue(self._wake):
            while not self._is_stopping:
                self._wake.clear()
                try:
                    await self._start_due_mails()
                except PlinthError:
                    logger.warning("the database is unavailable: mails stay in the outbox")
                except Exception:
                    logger.exception("unexpected error in the mail worker; it continues")
                await self._wait()
        await self._finish()

    def stop(self) -> None:
        self._is_stopping = True
        self._wake.set()

    async def _start_due_mails(self) -> None:
        free = settings.MAIL_CONCURRENCY - len(self._tasks)
        # Start nothing while a result is unsaved: after an outage, saving the results of the mails
        # that were sent comes first, or they would be sent again.
        if free <= 0 or self._unsaved_results or not is_configured():
            return
        deadline = time.monotonic() + settings.MAIL_LEASE_SECONDS * SENDING_SHARE
        duration = timedelta(seconds=settings.MAIL_LEASE_SECONDS)
        mails = await self._database.run_with_retries(
            lambda db: queries.mail.lease(db, limit=free, duration=duration)
        )
        for mail in mails:
            task = asyncio.create_task(self._process(mail, deadline))
            self._tasks.add(task)
            task.add_done_callback(self._discard)

    def _discard(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()

    async def _process(self, mail: LeasedMail, deadline: float) -> None:
        save_result = await _deliver(self._database, mail, deadline)
        if save_result is None or await self._try_save(save_result):
            return
        self._unsaved_results += 1
        while not await self._try_save(save_result):  # noqa: ASYNC110 - nothing signals recovery
            await asyncio.sleep(SAVE_RETRY_SECONDS)
        self._unsaved_results -= 1

    async def _try_save(self, save_result: SaveResult) -> bool:
        try:
            await self._database.run_with_retries(save_result)
        except PlinthError:
            return False
        return True

    async def _wait(self) -> None:
        """Wait for a mail of this process, a finished task, or the next poll of the outbox."""
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.MAIL_POLL_SECONDS * random.uniform(0.8, 1.2)):  # noqa: S311
                await self._wake.wait()

    async def _finish(self) -> None:
        if not self._tasks:
            return
        _, pending = await asyncio.wait(self._tasks, timeout=SHUTDOWN_SECONDS)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def _deliver(database: Database, mail: LeasedMail, deadline: float) -> SaveResult | None:
    """Send or materialize a mail. Return a function that saves the result, if any is to save."""
    try:
        await _send(database, mail, deadline)
    except NeverDeliverable as error:
        return _fail(mail, str(error))
    except RateLimited as error:
        return _suppress(mail, error)
    except NotDelivered as error:
        return _postpone(mail, str(error))
    except PlinthError as error:
        return _postpone(mail, f"database: {error.detail}")
    except Exception as error:
        logger.exception("mail %s (%s): unexpected error", mail.id, mail.kind)
        return _postpone(mail, f"{type(error).__name__}: {error}")
    return None if mail.kind in MATERIALIZERS else _succeed(mail)


async def _send(database: Database, mail: LeasedMail, deadline: float) -> None:
    if mail.attempt > settings.MAIL_MAX_ATTEMPTS:
        raise NeverDeliverable("too many workers stopped while they were sending it")
    try:
        context = outbox.read_context(mail)
    except ValueError as error:
        raise NeverDeliverable(str(error)) from None
    if materialize := MATERIALIZERS.get(mail.kind):
        await _materialize(database, mail, materialize, context)
        return
    if context.get("expires_at", math.inf) < time.time():
        raise NeverDeliverable("its link expired before it could be sent")
    assert mail.recipient is not None
    if mail.attempt == 1:  # a retry was counted by the first attempt
        await throttle.limit_mail(
            mail.kind, mail.recipient, is_requested=mail.kind in REQUESTED_MAILS
        )
    try:
        message = render_message(
            mail.kind,
            number=mail.id,
            written=mail.created_at,
            recipient=mail.recipient,
            context=context,
        )
    except ValueError as error:
        raise NeverDeliverable(f"rendering failed: {error}") from error
    await send(message, seconds=deadline - time.monotonic())


async def _materialize(
    database: Database, mail: LeasedMail, materialize: Materialize, context: dict[str, Any]
) -> None:
    async with database.transaction() as db:
        if await queries.mail.lock(db, mail):
            await materialize(db, mail, **context)


def _succeed(mail: LeasedMail) -> SaveResult:
    logger.info("mail %s (%s): sent", mail.id, mail.kind)
    return lambda db: queries.mail.mark_sent(db, mail)


def _postpone(mail: LeasedMail, error: str) -> SaveResult:
    if mail.attempt >= settings.MAIL_MAX_ATTEMPTS:
        return _fail(mail, error)
    seconds = settings.MAIL_RETRY_SECONDS * RETRY_FACTOR ** (mail.attempt - 1)
    # Jitter spreads the retries of mails that failed together.
    wait = timedelta(seconds=min(seconds, MAX_RETRY_SECONDS) * random.uniform(0.8, 1.2))  # noqa: S311
    logger.warning("mail %s (%s): will be retried: %s", mail.id, mail.kind, _clean(error))
    return lambda db: queries.mail.postpone(db, mail, wait=wait, error=_clean(error))


def _suppress(mail: LeasedMail, error: RateLimited) -> SaveResult:
    limits = ", ".join(limit.name for limit in error.exceeded)
    logger.warning("mail %s (%s): suppressed by rate limit %s", mail.id, mail.kind, limits)

    async def save_result(db: AsyncSession) -> None:
        await queries.mail.remove(db, mail)
        if error.is_first:  # one event for each window, however many mails are suppressed
            audit.record(
                db,
                "mail.suppressed",
                outcome="failure",
                subject_id=None,
                reason=f"{mail.kind}: rate limit {limits}",
            )

    return save_result


def _fail(mail: LeasedMail, error: str) -> SaveResult:
    logger.error("mail %s (%s): failed, no more retries: %s", mail.id, mail.kind, _clean(error))
    return lambda db: queries.mail.mark_dead(db, mail, error=_clean(error))


def _clean(error: str) -> str:
    """Return one printable line: a mail server's reply may contain anything."""
    line = " ".join(error.split())
    return "".join(char for char in line if char.isprintable())[:MAX_ERROR_LENGTH]
