"""Password hashing by argon2id, in a separate thread pool.

A hash takes about 20 ms of CPU time. On the event loop it would block every request, and in the
default pool of forty threads it would take the CPU from them. This pool has one thread per core, at
a lower priority than the event loop, and a bounded queue. After about a second in the queue, the
response is a 503.
"""

import asyncio
import logging
import os
import re
import sys
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum
from time import monotonic
from typing import TypeVar

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerificationError, VerifyMismatchError

from plinth.config import settings
from plinth.config.types import MAX_MEMORY_KIB, MAX_PASSES
from plinth.errors import Unavailable
from plinth.observability import metrics
from plinth.security import argon2id
from plinth.security.hash_shares import HashShares, keys_of_request
from plinth.security.old_hashes import BASE64, UnfitHash, find_verifier

logger = logging.getLogger(__name__)
T = TypeVar("T")

# OWASP Password Storage Cheat Sheet: at least argon2id with m=19 MiB, t=2, p=1.
_profile = PasswordHasher(
    time_cost=settings.ARGON2_TIME_COST, memory_cost=settings.ARGON2_MEMORY_KIB, parallelism=1
)
# A valid hash of no password, as costly to verify as a real one.
DUMMY_HASH = (
    f"$argon2id$v=19$m={settings.ARGON2_MEMORY_KIB},t={settings.ARGON2_TIME_COST},p=1"
    "$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

# A stored hash determines its cost, and an imported one must not overload the server.
MAX_ARGON2_LANES = 8
ARGON2 = re.compile(
    r"\$argon2(id|i|d)(\$v=(16|19))?\$m=[0-9]{1,9},t=[0-9]{1,9},p=[0-9]{1,3}"
    rf"\${BASE64}{{11,86}}\${BASE64}{{16,86}}"
)

NO_PASSWORD = "!"  # noqa: S105 - stored instead of a hash: the account has no password yet

THREADS = settings.PASSWORD_THREADS or os.cpu_count() or 1
HASHES_PER_SECOND_PER_THREAD = 40
MAX_WAIT_SECONDS = settings.PASSWORD_WAIT_MS / 1000
LOW_PRIORITY = 10
QUEUE = settings.PASSWORD_QUEUE or THREADS * HASHES_PER_SECOND_PER_THREAD


class Verdict(Enum):
    WRONG = "wrong"
    RIGHT = "right"
    RIGHT_BUT_OLD = "right, with an older algorithm or lower cost: hash it again"

    def __bool__(self) -> bool:
        return self is not Verdict.WRONG


async def hash_password(password: str) -> str:
    """
    Raises:
        Unavailable: the queue is full, or the wait exceeds `PASSWORD_WAIT_MS`.
    """
    return await _run(lambda: _hash(password))


async def verify_password(password: str, stored: str | None) -> Verdict:
    """Verify a password against a stored hash of any supported algorithm.

    With None, take the same time and return WRONG.

    Raises:
        Unavailable: the queue is full, or the wait exceeds `PASSWORD_WAIT_MS`.
    """
    return await _run(lambda: _verify(password, stored or DUMMY_HASH))


def check_hash(stored: str) -> None:
    """
    Raises:
        UnfitHash: the algorithm is unknown, or the cost exceeds the limits.
    """
    if stored == NO_PASSWORD or find_verifier(stored):
        return
    if not ARGON2.fullmatch(stored):
        raise UnfitHash("is not a hash of bcrypt, argon2, Django's pbkdf2_sha256 or scrypt")
    _check_argon2(stored)


async def _run(work: Callable[[], T]) -> T:
    began = monotonic()
    keys = keys_of_request(threads=THREADS, queue=QUEUE)
    async with _shares.take(keys, seconds=MAX_WAIT_SECONDS):
        return await _pool.run(work, began)


def _hash(password: str) -> str:
    return argon2id.make_hash(
        _normalize(password), passes=_profile.time_cost, memory_kib=_profile.memory_cost
    )


def _verify(password: str, stored: str) -> Verdict:
    if stored == NO_PASSWORD:
        stored = DUMMY_HASH
    try:
        if verify := find_verifier(stored):
            # As typed and normalized: keyboards may encode the same password differently.
            forms = dict.fromkeys((_encode(password), _normalize(password)))
            return Verdict.RIGHT_BUT_OLD if any(map(verify, forms)) else Verdict.WRONG
        return _verify_argon2(password, stored)
    except VerifyMismatchError:
        return Verdict.WRONG
    except (ValueError, VerificationError) as error:
        reason = error if isinstance(error, UnfitHash) else type(error).__name__
        logger.warning("a stored hash cannot be verified: %s", reason)
        return Verdict.WRONG


def _verify_argon2(password: str, stored: str) -> Verdict:
    _check_argon2(stored)
    typed, normal = _encode(password), _normalize(password)
    try:
        argon2id.verify(stored, normal)
    except VerifyMismatchError:
        if typed == normal:
            raise
        # Other systems hash the typed bytes. This depends only on the password, so its time
        # reveals nothing about the account.
        argon2id.verify(stored, typed)
        return Verdict.RIGHT_BUT_OLD
    return Verdict.RIGHT_BUT_OLD if _profile.check_needs_rehash(stored) else Verdict.RIGHT


def _check_argon2(stored: str) -> None:
    parameters = extract_parameters(stored)
    lanes = parameters.parallelism
    if not (
        8 * lanes <= parameters.memory_cost <= MAX_MEMORY_KIB
        and 1 <= parameters.time_cost <= MAX_PASSES
        and 1 <= lanes <= MAX_ARGON2_LANES
    ):
        raise UnfitHash(
            f"an argon2 hash must need at most {MAX_MEMORY_KIB // 1024} MiB, {MAX_PASSES} passes "
            f"and {MAX_ARGON2_LANES} lanes"
        )


def _normalize(password: str) -> bytes:
    # NIST SP 800-63B-4, section 3.1.1.2: keyboards may encode the same password differently.
    return _encode(unicodedata.normalize("NFKC", password))


def _encode(password: str) -> bytes:
    # The schemas refuse lone surrogates, but the command line may pass one.
    return password.encode("utf-8", "surrogatepass")


class _Pool:
    def __init__(self, threads: int, queue: int) -> None:
        self._threads = ThreadPoolExecutor(threads, "password", initializer=_lower_priority)
        self._lock = threading.Lock()
        self._max_waiting = threads + queue
        self.waiting = 0

    async def run(self, work: Callable[[], T], began: float | None = None) -> T:
        """
        Args:
            began: start of the caller's wait, in monotonic seconds; default: now.
        """
        if self.waiting >= self._max_waiting:
            raise _busy()
        began = monotonic() if began is None else began

        def work_unless_late() -> T:
            if monotonic() - began > MAX_WAIT_SECONDS:
                raise _busy()
            return work()

        with self._lock:
            self.waiting += 1
        future = self._threads.submit(work_unless_late)
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def _leave(self, _: Future[T]) -> None:
        with self._lock:
            self.waiting -= 1


def _lower_priority() -> None:
    """Prefer the event loop if both need the same core: it serves all other requests."""
    if sys.platform == "linux":  # other systems have no priority per thread
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOW_PRIORITY)


def _busy() -> Unavailable:
    metrics.password_refusals.inc()
    return Unavailable("Too many sign-ins at the same time; try again in a moment", code="busy")


_pool = _Pool(THREADS, QUEUE)
_shares = HashShares(_busy)
metrics.password_queue.set_function(lambda: _pool.waiting)
