"""Delivery of messages: by SMTP, or in development as files."""

import asyncio
import logging
import smtplib
import socket
import ssl
from contextlib import suppress
from email.policy import SMTPUTF8
from pathlib import Path

from plinth.config import settings
from plinth.folders import make_private_folder
from plinth.mail.messages import Message
from plinth.observability.redaction import SHOWS_SECRETS

logger = logging.getLogger(__name__)

FIRST_PERMANENT_CODE = 500  # RFC 5321, section 4.2.1: replies from 500 on are permanent


class NotDelivered(Exception):
    """The attempt failed, and a later one may succeed. The text is for the operator."""


class NeverDeliverable(NotDelivered):
    """The message cannot be delivered; a later attempt would fail as well."""


def is_configured() -> bool:
    """Return whether messages can be sent: always in development, otherwise with SMTP_HOST."""
    return bool(settings.SMTP_HOST) or settings.is_development


def describe_transport() -> str:
    if settings.SMTP_HOST:
        return f"through {settings.SMTP_HOST}:{settings.SMTP_PORT} (TLS: {settings.SMTP_TLS})"
    return f"to {_folder()}" if settings.is_development else "nowhere: SMTP_HOST is not set"


async def send(message: Message, *, seconds: float) -> None:
    """Send a message. When this returns, the mail server has accepted it.

    Args:
        seconds: the time limit. Afterwards this call does not send the message any more.

    Raises:
        NotDelivered
        NeverDeliverable
    """
    if seconds <= 0:
        raise NotDelivered("the lease expired before the attempt started")
    if settings.SMTP_HOST:
        await _send_by_smtp(message, seconds=seconds)
    elif settings.is_development:
        path = await asyncio.to_thread(_write, message, _folder())
        link = f": {message.link}" if message.link else ""
        # The developer is the recipient, so the log may show the link.
        logger.info("mail to %s is in %s%s", message.recipient, path, link, extra=SHOWS_SECRETS)
    else:
        raise NotDelivered("SMTP_HOST is not set")


def _folder() -> Path:
    return settings.DATA_DIR / "mail"


def _write(message: Message, folder: Path) -> Path:
    """Write a message to a file, atomically. The same message replaces its earlier file.

    Raises:
        NotDelivered: the file cannot be written.
    """
    path = folder / f"{_file_name(message)}.eml"
    part = path.with_suffix(".part")
    try:
        make_private_folder(folder)
        part.touch(mode=0o600)  # the links in it give access to accounts
        part.write_bytes(message.message.as_bytes(policy=SMTPUTF8))
        part.replace(path)
    except OSError as error:
        raise NotDelivered(f"{path} cannot be written: {error.strerror}") from error
    return path


def _file_name(message: Message) -> str:
    """Return a name that sorts by time and is unique by the id of the mail."""
    date = message.message["Date"].datetime
    mail_id = message.message["Message-ID"].strip("<>").partition("@")[0]
    return f"{date:%Y%m%dT%H%M%S}-{message.kind}-{mail_id}"


async def _send_by_smtp(message: Message, *, seconds: float) -> None:
    """Send with `smtplib` in a thread, which is stopped after the time limit."""
    attempt = _SMTPAttempt(message)
    try:
        async with asyncio.timeout(seconds):
            await asyncio.to_thread(attempt.run)
    except TimeoutError:
        raise NotDelivered(f"the mail server took longer than {seconds:.0f} seconds") from None
    finally:
        attempt.abort()


class _SMTPAttempt:
    """One attempt to send a message.

    A slow server could delay each reply by the socket's timeout and keep the thread for hours.
    `abort` ends it at once, and may be called from any thread.
    """

    def __init__(self, message: Message) -> None:
        self._message = message
        self._smtp: smtplib.SMTP | None = None
        self._is_aborted = False

    def run(self) -> None:
        try:
            self._smtp = smtp = _connect()
            _authenticate(smtp)
            if self._is_aborted:
                raise NotDelivered("aborted")
            if smtp.sock:
                # A client that times out after the final dot sends a mail twice (RFC 5321, section
                # 4.5.3.2.6). From here on, only `abort` ends the wait.
                smtp.sock.settimeout(None)
            smtp.send_message(
                self._message.message, self._message.sender, [self._message.recipient]
            )
            with suppress(smtplib.SMTPException, OSError):
                smtp.quit()  # the server has accepted the mail, so an error here does not matter
        except (smtplib.SMTPException, OSError) as error:
            raise _translate(error) from error
        finally:
            if self._smtp:
                self._smtp.close()

    def abort(self) -> None:
        self._is_aborted = True
        if self._smtp and (sock := self._smtp.sock):
            with suppress(OSError):
                # Not `sock.shutdown`: with TLS, that would wait for the busy connection.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _connect() -> smtplib.SMTP:
    host, port, timeout = settings.SMTP_HOST, settings.SMTP_PORT, settings.SMTP_TIMEOUT
    if settings.SMTP_TLS == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=timeout, context=_ssl_context())
    return smtplib.SMTP(host, port, timeout=timeout)


def _authenticate(smtp: smtplib.SMTP) -> None:
    if settings.SMTP_TLS == "starttls":
        smtp.starttls(context=_ssl_context())
    if settings.SMTP_USERNAME:
        smtp.login(settings.SMTP_USERNAME, settings.SMTP_PASSWORD)


def _ssl_context() -> ssl.SSLContext:
    cafile = str(settings.SMTP_CA_FILE) if settings.SMTP_CA_FILE else None
    return ssl.create_default_context(cafile=cafile)


def _translate(error: Exception) -> NotDelivered:
    """Only a rejected message or recipient may be permanent.

    A rejected connection, STARTTLS, login or sender is an error of the configuration. The message
    is retried until the operator has fixed it.
    """
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, reply = next(iter(error.recipients.values()))
        return _classify(code, reply)
    if isinstance(error, smtplib.SMTPDataError):
        return _classify(error.smtp_code, error.smtp_error)
    if isinstance(error, smtplib.SMTPNotSupportedError) and "SMTPUTF8" in str(error):
        return NeverDeliverable("the mail server does not support non-ASCII addresses (RFC 6531)")
    if isinstance(error, smtplib.SMTPResponseException):
        return NotDelivered(_format_reply(error.smtp_code, error.smtp_error))
    return NotDelivered(f"{type(error).__name__}: {error}")


def _classify(code: int, reply: bytes | str) -> NotDelivered:
    kind = NeverDeliverable if code >= FIRST_PERMANENT_CODE else NotDelivered
    return kind(_format_reply(code, reply))


def _format_reply(code: int, reply: bytes | str) -> str:
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else reply
    return f"{code} {text}"
