"""Limits on concurrent hashes per user and per address, so that none can fill the hashing pool.

Each key has a few slots in the pool. Some more hashes wait here in order, outside of the common
queue. Others are refused immediately.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

from plinth.request.client import find_network
from plinth.request.context import current_request

MAX_WAITING_PER_USER = 20


class Key(NamedTuple):
    """
    Attributes:
        at_once: maximum number of hashes in the pool.
        waiting: maximum number of hashes that wait for a slot.
    """

    name: str
    at_once: int
    waiting: int


@dataclass(slots=True)
class _Share:
    """
    Attributes:
        taken: number of hashes, including those that wait.
    """

    slots: asyncio.Semaphore
    taken: int = 0


class HashShares:
    """
    Args:
        refuse: returns the error to raise if no slot is free.
    """

    def __init__(self, refuse: Callable[[], Exception]) -> None:
        self._refuse = refuse
        self._shares: dict[str, _Share] = {}

    @asynccontextmanager
    async def take(self, keys: Sequence[Key], *, seconds: float) -> AsyncIterator[None]:
        """Hold a slot of each key, after waiting for up to `seconds`."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(seconds):
                    for key in keys:
                        await stack.enter_async_context(self._take(key))
            except TimeoutError:
                raise self._refuse() from None
            yield

    @asynccontextmanager
    async def _take(self, key: Key) -> AsyncIterator[None]:
        share = self._shares.setdefault(key.name, _Share(asyncio.Semaphore(key.at_once)))
        if share.taken >= key.at_once + key.waiting:
            raise self._refuse()
        share.taken += 1
        try:
            async with share.slots:
                yield
        finally:
            share.taken -= 1
            if not share.taken:
                del self._shares[key.name]

    def __len__(self) -> int:
        return len(self._shares)


def keys_of_request(*, threads: int, queue: int) -> list[Key]:
    """Return the keys of the current request: its user, if authenticated, and its address.

    The list is empty outside of a request.

    Args:
        threads: number of threads of the pool.
        queue: length of the queue of the pool.
    """
    request = current_request()
    if request is None:
        return []
    # A user needs one hash at a time. Many users may share an address.
    address = Key(f"address {find_network(request.client)}", 4 * threads, queue)
    if request.user_id is None:
        return [address]
    return [Key(f"user {request.user_id}", threads, MAX_WAITING_PER_USER), address]
