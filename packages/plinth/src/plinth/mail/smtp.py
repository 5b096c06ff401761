"""SMTP by the standard library, in a thread, with an end to it whatever the server does."""

import asyncio
import smtplib
import socket
import ssl
from contextlib import suppress

from plinth.config import settings
from plinth.mail.errors import NeverDeliverable, NotDelivered
from plinth.mail.messages import Message

PERMANENT = 500  # RFC 5321, 4.2.1: from here on a reply says never


async def send(letter: Message, *, seconds: float) -> None:
    """
    Raises:
        NotDelivered
        NeverDeliverable: the server refuses this mail for good.
    """
    attempt = _Attempt(letter)
    try:
        async with asyncio.timeout(seconds):
            await asyncio.to_thread(attempt.run)
    except TimeoutError:
        raise NotDelivered(f"not done in {seconds:.0f} seconds") from None
    finally:
        attempt.break_off()


class _Attempt:
    """One mail on its way. Each answer of a slow server may take its time, which could keep us for
    hours: `break_off`, from any thread, ends it at once."""

    def __init__(self, letter: Message) -> None:
        self._letter = letter
        self._smtp: smtplib.SMTP | None = None
        self._over = False

    def run(self) -> None:
        try:
            self._smtp = smtp = _connect()
            _make_known(smtp)
            if self._over:
                raise NotDelivered("broken off")
            if smtp.sock:
                # Whoever stops listening behind the final dot sends a mail twice that was taken
                # slowly (RFC 5321, 4.5.3.2.6): from here on only `break_off` ends the patience.
                smtp.sock.settimeout(None)
            smtp.send_message(self._letter.message, self._letter.sender, [self._letter.recipient])
            with suppress(smtplib.SMTPException, OSError):
                smtp.quit()  # it has the mail; how it says good-bye changes nothing
        except (smtplib.SMTPException, OSError) as error:
            raise _explain(error) from error
        finally:
            if self._smtp:
                self._smtp.close()

    def break_off(self) -> None:
        self._over = True
        if self._smtp and (sock := self._smtp.sock):
            with suppress(OSError):
                # The base class's: TLS would first want to say good-bye, in a busy connection.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _connect() -> smtplib.SMTP:
    host, port, timeout = settings.SMTP_HOST, settings.SMTP_PORT, settings.SMTP_TIMEOUT
    if settings.SMTP_TLS == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=timeout, context=_trust())
    return smtplib.SMTP(host, port, timeout=timeout)


def _make_known(smtp: smtplib.SMTP) -> None:
    if settings.SMTP_TLS == "starttls":
        smtp.starttls(context=_trust())
    if settings.SMTP_USERNAME:
        smtp.login(settings.SMTP_USERNAME, settings.SMTP_PASSWORD)


def _trust() -> ssl.SSLContext:
    cafile = str(settings.SMTP_CA_FILE) if settings.SMTP_CA_FILE else None
    return ssl.create_default_context(cafile=cafile)


def _explain(error: Exception) -> NotDelivered:
    """A refusal of this mail or its recipient can be for good. A refusal of us (connect, STARTTLS,
    login, sender) is ours to mend, and the mail waits for it."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, reply = next(iter(error.recipients.values()))
        return _judge(code, reply)
    if isinstance(error, smtplib.SMTPDataError):
        return _judge(error.smtp_code, error.smtp_error)
    if isinstance(error, smtplib.SMTPNotSupportedError) and "SMTPUTF8" in str(error):
        return NeverDeliverable("the server takes no address beyond ASCII (RFC 6531)")
    if isinstance(error, smtplib.SMTPResponseException):
        return NotDelivered(_quote(error.smtp_code, error.smtp_error))
    return NotDelivered(f"{type(error).__name__}: {error}")


def _judge(code: int, reply: bytes | str) -> NotDelivered:
    kind = NeverDeliverable if code >= PERMANENT else NotDelivered
    return kind(_quote(code, reply))


def _quote(code: int, reply: bytes | str) -> str:
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else reply
    return f"{code} {text}"
