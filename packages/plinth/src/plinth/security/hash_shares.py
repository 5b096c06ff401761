"""A share of the hashing pool for each user and each address: none of them can fill it.

Each of them has a few places in the pool. A few more hashes wait here, in order, outside the queue
that all share. Further ones are refused at once.
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
        at_once: how many hashes for `name` may be in the pool.
        waiting: how many more may wait for that.
    """

    name: str
    at_once: int
    waiting: int


@dataclass(slots=True)
class _Share:
    places: asyncio.Semaphore
    taken: int = 0
    """Including those that wait."""


class HashShares:
    """
    Args:
        refuse: creates the error to raise when no place is left.
    """

    def __init__(self, refuse: Callable[[], Exception]) -> None:
        self._refuse = refuse
        self._shares: dict[str, _Share] = {}

    @asynccontextmanager
    async def take(self, keys: Sequence[Key], *, seconds: float) -> AsyncIterator[None]:
        """Hold a place in the share of each key, after up to so many seconds."""
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
            async with share.places:
                yield
        finally:
            share.taken -= 1
            if not share.taken:
                del self._shares[key.name]

    def __len__(self) -> int:
        return len(self._shares)


def keys_of_request(*, threads: int, queue: int) -> list[Key]:
    """Return the keys of the request in work: its user, if known by now, and its address. None
    outside of a request.

    Args:
        threads: of the pool.
        queue: the pool's.
    """
    request = current_request()
    if request is None:
        return []
    # A user needs one hash at a time. Many users may share an address.
    address = Key(f"address {find_network(request.client)}", 4 * threads, queue)
    if request.user_id is None:
        return [address]
    return [Key(f"user {request.user_id}", threads, MAX_WAITING_PER_USER), address]
