"""Look-ups that arrive together share one query, and each is as fresh as one of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class DataLoader(Generic[K, V]):
    """Gathers keys that arrive in one turn of the loop, or while earlier batches are under way, and
    asks for them at once.

    A key that arrives never joins a batch that was already sent: its answer could be older than
    the question, and a session revoked in between would still hold.

    Args:
        load: finds the values of many keys; a key without a value is left out.
        in_flight: how many batches may be under way at once; `math.inf` for any.
        largest: the most keys in a batch.
        patience: gives the seconds after which one who waits is given None.
    """

    def __init__(
        self,
        load: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]],
        *,
        in_flight: float = 2,
        largest: int = 200,
        patience: Callable[[], float] | None = None,
    ) -> None:
        self._load = load
        self._in_flight = self._free = in_flight
        self._is_starting = False
        self._largest = largest
        self._patience = patience
        # A future for each who waits: one who hangs up takes no answer from the others.
        self._waiting: dict[K, list[asyncio.Future[V | None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def get(self, key: K) -> V | None:
        """
        Raises:
            Exception: what `load` raised, for everyone in the batch.
        """
        if not self._tasks or self._loop is None or self._loop.is_closed():
            self._begin()
        loop = self._loop
        assert loop is not None
        future: asyncio.Future[V | None] = loop.create_future()
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append(future)
        else:
            self._waiting[key] = [future]
            self._send(loop)
        if self._patience is None:
            return await future
        bound = loop.call_later(self._patience(), _give_up, future)
        try:
            return await future
        finally:
            bound.cancel()

    def _begin(self) -> None:
        """Nothing is under way; what a loop that was closed had begun will never end."""
        # Asked for here alone: before Python 3.12 it is a call of the system.
        self._loop = asyncio.get_running_loop()
        self._free, self._is_starting, self._waiting = self._in_flight, False, {}

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._is_starting or not self._free or not self._waiting:
            return
        self._free -= 1
        self._is_starting = True
        # In nobody's context: the query is all of theirs, and no one request's log has it.
        task = loop.create_task(self._answer(loop), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _take(self) -> dict[K, list[asyncio.Future[V | None]]]:
        batch = self._waiting
        if len(batch) <= self._largest:
            self._waiting = {}
            return batch
        return {key: batch.pop(key) for key in list(batch)[: self._largest]}

    async def _answer(self, loop: asyncio.AbstractEventLoop) -> None:
        # Only now: whoever asked before it is sent is in time for it.
        self._is_starting = False
        batch = self._take()
        self._send(loop)
        try:
            found = await self._load(list(batch))
        except BaseException as error:
            for future in _open(batch):
                future.set_exception(error)
                future.exception()  # seen: nobody may be left to ask for it
            if not isinstance(error, Exception):
                raise
        else:
            for key, waiting in batch.items():
                value = found.get(key)
                for future in waiting:
                    if not future.done():
                        future.set_result(value)
        finally:
            self._free += 1
            self._send(loop)


def _give_up(future: asyncio.Future[V | None]) -> None:
    if not future.done():
        future.set_result(None)


def _open(batch: Mapping[K, Sequence[asyncio.Future[V | None]]]) -> list[asyncio.Future[V | None]]:
    return [future for waiting in batch.values() for future in waiting if not future.done()]
