"""A real SMTP server on loopback, in a separate thread, with the mails that it received."""

import asyncio
import email
import email.policy
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

import asyncpg
from aiosmtpd.smtp import SMTP

from tests.support.waiting import PATIENCE, until


@dataclass  # without slots: aiosmtpd inspects all members, which fails on early 3.11 with slots
class Inbox:
    """The received mails. Also the handler of the server, with replies that a test can set."""

    port: int = 0
    letters: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)
    at_rcpt: dict[str, list[str]] = field(default_factory=dict)
    """Replies to the next attempts by recipient; later attempts are accepted."""
    at_data: list[str] = field(default_factory=list)
    """Replies to the next mails; later mails are accepted."""
    tries: int = 0
    hold: threading.Event | None = None
    """If given, the server does not reply to a mail until the event is set."""

    async def handle_RCPT(  # noqa: N802 - the name that aiosmtpd calls
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        if replies := self.at_rcpt.get(address):
            return replies.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.tries += 1
        if self.hold:
            await asyncio.to_thread(self.hold.wait, 20)
        if self.at_data:
            return self.at_data.pop(0)
        parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        self.envelopes.append((envelope.mail_from, envelope.rcpt_tos))
        self.letters.append(parsed)
        return "250 taken"

    async def next(self, recipient: str, subject: str = "") -> EmailMessage:
        """Wait for a mail to an address with these words in its subject, and remove it."""
        found: list[EmailMessage] = []

        def arrived() -> bool:
            for place, letter in enumerate(self.letters):
                if letter["To"] == recipient and subject in letter["Subject"]:
                    found.append(self.letters.pop(place))
                    return True
            return False

        await until(arrived)
        return found[0]


async def none_waits(second: asyncpg.Connection, seconds: float = PATIENCE) -> None:
    """Wait until every mail is sent or has failed."""
    waiting = "SELECT count(*) FROM mails WHERE sent_at IS NULL AND dead_at IS NULL"
    async with asyncio.timeout(seconds):
        while await second.fetchval(waiting):  # noqa: ASYNC110 - the database sends no event
            await asyncio.sleep(0.01)


def text_of(letter: EmailMessage, kind: str = "plain") -> str:
    part = letter.get_body((kind,))
    assert part is not None
    content = part.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n")


def token_of(letter: EmailMessage) -> str:
    """Return the token in the fragment of the link, which both parts must have."""
    (token,) = re.findall(r"#token=(\S+)", text_of(letter))
    assert f'#token={token}"' in text_of(letter, "html")
    return str(token)


@contextmanager
def serving_mail(inbox: Inbox | None = None, **options: Any) -> Iterator[Inbox]:
    """
    Args:
        options: arguments of aiosmtpd's `SMTP`; `ssl` is the context for implicit TLS.
    """
    inbox = inbox or Inbox()
    ssl = options.pop("ssl", None)
    options.setdefault("enable_SMTPUTF8", True)
    loop, ready = asyncio.new_event_loop(), threading.Event()

    async def serve(stop: asyncio.Event) -> None:
        server = await loop.create_server(
            lambda: SMTP(inbox, loop=loop, **options),
            "127.0.0.1",
            inbox.port,
            ssl=ssl,
        )
        inbox.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()

    stop = asyncio.Event()
    thread = threading.Thread(target=_run, args=[loop, serve(stop)], daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield inbox
    finally:
        if inbox.hold:
            inbox.hold.set()
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def _run(loop: asyncio.AbstractEventLoop, work: Any) -> None:
    loop.run_until_complete(work)
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
