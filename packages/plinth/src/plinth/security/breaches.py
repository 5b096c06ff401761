"""Whether a password is known from a breach, asked of a service such as Have I Been Pwned (the
range API, version 3) by the first five digits of a hash, which thousands of known ones share.

It is a courtesy, so it stands in nobody's way: no answer within a second is a no.
"""

import asyncio
import hashlib
import logging
import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException, HTTPResponse
from threading import BoundedSemaphore
from time import monotonic
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from plinth.config import settings

logger = logging.getLogger(__name__)

SECONDS = 1.0
MAX_RESPONSE_BYTES = 1024 * 1024  # bytes; some 80 KiB are usual
PIECE = 65536
PREFIX = 5
MAX_CONCURRENT = 8
LINE = re.compile(rb"([0-9A-Fa-f]{35}):(\d+)")

# Of its own, so that a service that hangs takes these threads and no others.
_threads = ThreadPoolExecutor(MAX_CONCURRENT, thread_name_prefix="breaches")
_free = BoundedSemaphore(MAX_CONCURRENT)


async def contain(password: str) -> bool:
    """False as well where it cannot be known, or nobody is to be asked."""
    if settings.BREACH_CHECK_URL is None:
        return False
    text = unicodedata.normalize("NFKC", password)
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().upper()
    try:
        return await _ask(settings.BREACH_CHECK_URL, digest)
    except (OSError, ValueError, HTTPException) as error:
        # Without what was asked: five digits of its hash say something of a password.
        why = str(error) or type(error).__name__
        logger.warning("the breach check failed (%s): a password passed without it", why)
        return False


async def _ask(url: str, digest: str) -> bool:
    if not _free.acquire(blocking=False):
        raise TimeoutError("too many at once")
    work = asyncio.get_running_loop().run_in_executor(_threads, _ask_in_thread, url, digest)
    async with asyncio.timeout(SECONDS):
        return await work


def _ask_in_thread(url: str, digest: str) -> bool:
    """Whoever waits for it may have gone; the thread is free again a moment after."""
    try:
        return digest[PREFIX:] in _read_suffixes(_fetch(url + digest[:PREFIX]))
    finally:
        _free.release()


def _fetch(url: str) -> bytes:
    # With padding, the length of an answer does not tell which one it was.
    headers = {"Add-Padding": "true", "User-Agent": "plinth"}
    request = Request(url, headers=headers)  # noqa: S310 - the settings let only http(s) pass
    until = monotonic() + SECONDS
    try:
        with urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            return _read_all(answer, until)
    except HTTPError as error:
        error.close()
        raise


def _read_all(answer: HTTPResponse, until: float) -> bytes:
    body = b""
    while piece := answer.read1(PIECE):
        body += piece
        if len(body) > MAX_RESPONSE_BYTES or monotonic() > until:
            raise ValueError("an answer without end")
    if answer.length:
        raise ValueError("an answer cut short")
    return body


def _read_suffixes(body: bytes) -> set[str]:
    """Of the hashes that were seen at least once; the padding was seen 0 times."""
    found = set()
    for line in body.split():
        if not (known := LINE.fullmatch(line)):
            raise ValueError("an answer of another kind")
        if int(known[2]):
            found.add(known[1].decode().upper())
    return found
