"""Passwords, hashed by argon2id in a small pool of threads of its own.

Hashing takes some 25 ms of a core. On the loop it would stall every request; in the default pool of
forty threads it would crowd them out. Here there are as many threads as cores, at a lower priority
than the loop's, and a bounded queue before them: after about a second in it waiting helps nobody,
and the answer is 503.
"""

import asyncio
import logging
import os
import re
import sys
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from time import monotonic
from typing import TypeVar

import bcrypt
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerificationError, VerifyMismatchError

from app.core.config import settings
from app.core.errors import Unavailable

logger = logging.getLogger(__name__)
T = TypeVar("T")

# OWASP's Password Storage Cheat Sheet: argon2id with m=19 MiB, t=2, p=1 at the least.
_hasher = PasswordHasher(
    time_cost=settings.ARGON2_TIME_COST, memory_cost=settings.ARGON2_MEMORY_KIB, parallelism=1
)
# Well-formed, as costly to verify as a real one, and the hash of nothing.
NOBODYS_HASH = (
    f"$argon2id$v=19$m={settings.ARGON2_MEMORY_KIB},t={settings.ARGON2_TIME_COST},p=1"
    "$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

# A stored hash names its own cost. One that came with an import must not take the server down.
MOST_MEMORY_KIB, MOST_TIME, MOST_LANES, MOST_BCRYPT_ROUNDS = 256 * 1024, 10, 8, 14
BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
BCRYPT_READS = 72  # bytes; what came after them was never part of an old hash

THREADS = settings.PASSWORD_THREADS or os.cpu_count() or 1
HASHES_A_SECOND_A_THREAD = 40
LONGEST_WAIT = settings.PASSWORD_WAIT_MS / 1000
LOW_PRIORITY = 10
QUEUE = settings.PASSWORD_QUEUE or THREADS * HASHES_A_SECOND_A_THREAD


class Verdict(Enum):
    WRONG = "wrong"
    RIGHT = "right"
    RIGHT_BUT_OLD = "right, by an older method or weaker figures: hash it anew"

    def __bool__(self) -> bool:
        return self is not Verdict.WRONG


async def hash_password(password: str) -> str:
    """
    Raises:
        Unavailable: more is waiting to be hashed than a second's work.
    """
    return await _pool.run(lambda: _hasher.hash(_normalize(password)))


async def verify_password(password: str, stored: str | None) -> Verdict:
    """Compare with a stored argon2 or bcrypt hash; with None, work as long and say WRONG.

    Raises:
        Unavailable: more is waiting to be hashed than a second's work.
    """
    return await _pool.run(lambda: _verify(password, stored or NOBODYS_HASH))


def _verify(password: str, stored: str) -> Verdict:
    try:
        if BCRYPT.fullmatch(stored):
            return _verify_bcrypt(password, stored)
        return _verify_argon2(password, stored)
    except VerifyMismatchError:
        return Verdict.WRONG
    except (ValueError, VerificationError) as error:
        logger.warning("a stored hash cannot be verified: %s", type(error).__name__)
        return Verdict.WRONG


def _verify_argon2(password: str, stored: str) -> Verdict:
    given = extract_parameters(stored)
    if (
        given.memory_cost > MOST_MEMORY_KIB
        or given.time_cost > MOST_TIME
        or given.parallelism > MOST_LANES
    ):
        logger.warning("a stored argon2 hash asks for more than the bounds; refused")
        return Verdict.WRONG
    _hasher.verify(stored, _normalize(password))
    return Verdict.RIGHT_BUT_OLD if _hasher.check_needs_rehash(stored) else Verdict.RIGHT


def _verify_bcrypt(password: str, stored: str) -> Verdict:
    if int(stored[4:6]) > MOST_BCRYPT_ROUNDS:
        logger.warning("a stored bcrypt hash asks for more than the bounds; refused")
        return Verdict.WRONG
    known = _encode(password)[:BCRYPT_READS]
    if b"\0" in known or not bcrypt.checkpw(known, stored.encode()):
        return Verdict.WRONG
    return Verdict.RIGHT_BUT_OLD


def _normalize(password: str) -> bytes:
    # NIST SP 800-63B-4, 3.1.1.2: one form, so that two keyboards type the same password.
    return _encode(unicodedata.normalize("NFKC", password))


def _encode(password: str) -> bytes:
    # A lone surrogate, which the schemas refuse, is no reason to fail where one slips through.
    return password.encode("utf-8", "surrogatepass")


class _Pool:
    def __init__(self, threads: int, queue: int) -> None:
        self._threads = ThreadPoolExecutor(threads, "password", initializer=_step_back)
        self._room = threads + queue
        self.waiting = 0

    async def run(self, work: Callable[[], T]) -> T:
        if self.waiting >= self._room:
            raise _busy()
        began = monotonic()

        def work_unless_late() -> T:
            if monotonic() - began > LONGEST_WAIT:
                raise _busy()
            return work()

        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work_unless_late)
        finally:
            self.waiting -= 1


def _step_back() -> None:
    """Let the loop go first when both want the same core: it has everyone else's request."""
    if sys.platform == "linux":  # only there a priority can be a single thread's
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOW_PRIORITY)


def _busy() -> Unavailable:
    return Unavailable("Too many sign-ins at once; try again", code="busy")


_pool = _Pool(THREADS, QUEUE)
