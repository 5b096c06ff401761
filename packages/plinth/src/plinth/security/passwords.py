"""Passwords, hashed by argon2id in a small pool of threads of its own.

Hashing takes some 20 ms of a core. On the loop it would stall every request; in the default pool of
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

# OWASP's Password Storage Cheat Sheet: argon2id with m=19 MiB, t=2, p=1 at the least.
_profile = PasswordHasher(
    time_cost=settings.ARGON2_TIME_COST, memory_cost=settings.ARGON2_MEMORY_KIB, parallelism=1
)
# Well-formed, as costly to verify as a real one, and the hash of nothing.
DUMMY_HASH = (
    f"$argon2id$v=19$m={settings.ARGON2_MEMORY_KIB},t={settings.ARGON2_TIME_COST},p=1"
    "$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

# A stored hash names its own cost. One that came with an import must not take the server down.
MAX_ARGON2_LANES = 8
ARGON2 = re.compile(
    r"\$argon2(id|i|d)(\$v=(16|19))?\$m=[0-9]{1,9},t=[0-9]{1,9},p=[0-9]{1,3}"
    rf"\${BASE64}{{11,86}}\${BASE64}{{16,86}}"
)

NO_PASSWORD = "!"  # noqa: S105 - in the place of a hash: the account has none until it sets one

THREADS = settings.PASSWORD_THREADS or os.cpu_count() or 1
HASHES_PER_SECOND_PER_THREAD = 40
MAX_WAIT_SECONDS = settings.PASSWORD_WAIT_MS / 1000
LOW_PRIORITY = 10
QUEUE = settings.PASSWORD_QUEUE or THREADS * HASHES_PER_SECOND_PER_THREAD


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
    return await _run(lambda: _hash(password))


async def verify_password(password: str, stored: str | None) -> Verdict:
    """Compare with a stored hash of any kind that is known; with None, work as long and say WRONG.

    Raises:
        Unavailable: more is waiting to be hashed than a second's work.
    """
    return await _run(lambda: _verify(password, stored or DUMMY_HASH))


def check_hash(stored: str) -> None:
    """Whether a password can be compared with this hash, without doing so.

    Raises:
        UnfitHash: its kind is not known, or it asks for more than the bounds.
    """
    if stored == NO_PASSWORD or find_verifier(stored):
        return
    if not ARGON2.fullmatch(stored):
        raise UnfitHash("is no hash of bcrypt, argon2, Django's pbkdf2_sha256 or scrypt")
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
            # As typed, and in one form: two keyboards may type one password as different bytes.
            forms = dict.fromkeys((_encode(password), _normalize(password)))
            return Verdict.RIGHT_BUT_OLD if any(map(verify, forms)) else Verdict.WRONG
        return _verify_argon2(password, stored)
    except VerifyMismatchError:
        return Verdict.WRONG
    except (ValueError, VerificationError) as error:
        why = error if isinstance(error, UnfitHash) else type(error).__name__
        logger.warning("a stored hash cannot be verified: %s", why)
        return Verdict.WRONG


def _verify_argon2(password: str, stored: str) -> Verdict:
    _check_argon2(stored)
    typed, normal = _encode(password), _normalize(password)
    try:
        argon2id.verify(stored, normal)
    except VerifyMismatchError:
        if typed == normal:
            raise
        # Other systems hash what was typed as it is. This depends on the password alone, so the
        # time tells nothing about the account.
        argon2id.verify(stored, typed)
        return Verdict.RIGHT_BUT_OLD
    return Verdict.RIGHT_BUT_OLD if _profile.check_needs_rehash(stored) else Verdict.RIGHT


def _check_argon2(stored: str) -> None:
    given = extract_parameters(stored)
    lanes = given.parallelism
    if not (
        8 * lanes <= given.memory_cost <= MAX_MEMORY_KIB
        and 1 <= given.time_cost <= MAX_PASSES
        and 1 <= lanes <= MAX_ARGON2_LANES
    ):
        raise UnfitHash(
            f"an argon2 hash may take up to {MAX_MEMORY_KIB // 1024} MiB, {MAX_PASSES} passes "
            f"and {MAX_ARGON2_LANES} lanes"
        )


def _normalize(password: str) -> bytes:
    # NIST SP 800-63B-4, 3.1.1.2: one form, so that two keyboards type the same password.
    return _encode(unicodedata.normalize("NFKC", password))


def _encode(password: str) -> bytes:
    # A lone surrogate, which the schemas refuse, is no reason to fail where one slips through.
    return password.encode("utf-8", "surrogatepass")


class _Pool:
    def __init__(self, threads: int, queue: int) -> None:
        self._threads = ThreadPoolExecutor(threads, "password", initializer=_step_back)
        self._lock = threading.Lock()
        self._room = threads + queue
        self.waiting = 0

    async def run(self, work: Callable[[], T], began: float | None = None) -> T:
        """
        Args:
            began: when the caller began to wait, by the monotonic clock; now, where it is left out.
        """
        if self.waiting >= self._room:
            raise _busy()
        began = monotonic() if began is None else began

        def work_unless_late() -> T:
            if monotonic() - began > MAX_WAIT_SECONDS:
                raise _busy()
            return work()

        with self._lock:
            self.waiting += 1
        working = self._threads.submit(work_unless_late)
        working.add_done_callback(self._leave)
        return await asyncio.wrap_future(working)

    def _leave(self, _: Future[T]) -> None:
        with self._lock:
            self.waiting -= 1


def _step_back() -> None:
    """Let the loop go first when both want the same core: it has everyone else's request."""
    if sys.platform == "linux":  # only there a priority can be a single thread's
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOW_PRIORITY)


def _busy() -> Unavailable:
    metrics.password_refusals.inc()
    return Unavailable("Too many sign-ins at once; try again", code="busy")


_pool = _Pool(THREADS, QUEUE)
_shares = HashShares(_busy)
metrics.password_queue.set_function(lambda: _pool.waiting)
