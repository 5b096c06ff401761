"""The way out that the settings name."""

import asyncio
import logging
from pathlib import Path

from plinth.config import settings
from plinth.mail import files, smtp
from plinth.mail.errors import NotDelivered
from plinth.mail.messages import Message
from plinth.observability.redaction import SHOWS_SECRETS

logger = logging.getLogger(__name__)


def is_configured() -> bool:
    """Whether there is a way out: outside development, not without SMTP."""
    return bool(settings.SMTP_HOST) or settings.is_development


def describe_transport() -> str:
    if settings.SMTP_HOST:
        return f"through {settings.SMTP_HOST}:{settings.SMTP_PORT} (TLS: {settings.SMTP_TLS})"
    return f"to {_folder()}" if settings.is_development else "nowhere: SMTP_HOST is not set"


async def send(letter: Message, *, seconds: float) -> None:
    """Return when somebody else has taken the responsibility for it.

    Args:
        seconds: after them it is broken off, and will surely not be sent by this call.

    Raises:
        NotDelivered
        NeverDeliverable
    """
    if seconds <= 0:
        raise NotDelivered("no time was left to send it")
    if settings.SMTP_HOST:
        await smtp.send(letter, seconds=seconds)
    elif settings.is_development:
        path = await asyncio.to_thread(files.keep, letter, _folder())
        said = ("mail to %s is in %s%s", letter.recipient, path, _tell_link(letter))
        logger.info(*said, extra=SHOWS_SECRETS)  # for the developer, who is the recipient
    else:
        raise NotDelivered("SMTP_HOST is not set")


def _folder() -> Path:
    return settings.DATA_DIR / "mail"


def _tell_link(letter: Message) -> str:
    return f": {letter.link}" if letter.link else ""
