"""Check whether a password is known from a breach, with a service such as Have I Been Pwned.

The range API, version 3, receives the first five digits of a hash, which thousands of passwords
share. If the service does not respond within a second, the password is accepted.
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

TIMEOUT_SECONDS = 1.0
MAX_RESPONSE_BYTES = 1024 * 1024  # typically about 80 KiB
CHUNK_BYTES = 65536
PREFIX_LENGTH = 5
MAX_CONCURRENT = 8
LINE = re.compile(rb"([0-9A-Fa-f]{35}):(\d+)")

# Separate threads, so that a service that hangs cannot block others.
_threads = ThreadPoolExecutor(MAX_CONCURRENT, thread_name_prefix="breaches")
_free = BoundedSemaphore(MAX_CONCURRENT)


async def contain(password: str) -> bool:
    """Return whether a breach contains the password; False if that cannot be checked."""
    if settings.BREACH_CHECK_URL is None:
        return False
    text = unicodedata.normalize("NFKC", password)
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().upper()
    try:
        return await _query(settings.BREACH_CHECK_URL, digest)
    except (OSError, ValueError, HTTPException) as error:
        # Do not log the query: five digits of the hash reveal something about the password.
        reason = str(error) or type(error).__name__
        logger.warning(
            "the breach check failed (%s): accepted a password without it; check BREACH_CHECK_URL",
            reason,
        )
        return False


async def _query(url: str, digest: str) -> bool:
    if not _free.acquire(blocking=False):
        raise TimeoutError("too many concurrent checks")
    work = asyncio.get_running_loop().run_in_executor(_threads, _query_in_thread, url, digest)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        return await work


def _query_in_thread(url: str, digest: str) -> bool:
    """Query the service. The caller may have timed out; the thread ends soon after."""
    try:
        return digest[PREFIX_LENGTH:] in _read_suffixes(_fetch(url + digest[:PREFIX_LENGTH]))
    finally:
        _free.release()


def _fetch(url: str) -> bytes:
    # Padding hides the prefix, which the length of the response would reveal.
    headers = {"Add-Padding": "true", "User-Agent": "plinth"}
    request = Request(url, headers=headers)  # noqa: S310 - the setting allows only http(s)
    deadline = monotonic() + TIMEOUT_SECONDS
    try:
        with urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            return _read_all(response, deadline)
    except HTTPError as error:
        error.close()
        raise


def _read_all(response: HTTPResponse, deadline: float) -> bytes:
    body = b""
    while chunk := response.read1(CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_RESPONSE_BYTES or monotonic() > deadline:
            raise ValueError("the response is too long")
    if response.length:
        raise ValueError("the response is incomplete")
    return body


def _read_suffixes(body: bytes) -> set[str]:
    """Return the suffixes of hashes with a count of at least 1; padding has the count 0."""
    suffixes = set()
    for line in body.split():
        if not (match := LINE.fullmatch(line)):
            raise ValueError("the response has an unknown format")
        if int(match[2]):
            suffixes.add(match[1].decode().upper())
    return suffixes
