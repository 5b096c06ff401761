"""Batching: concurrent lookups share one query."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class DataLoader(Generic[K, V]):
    """Collect keys that arrive in one iteration of the event loop, or while all batches are
    running, and load them together.

    A key never joins a batch that was already sent. Its value would be older than the call, and a
    session that was revoked in between would still be accepted.

    Args:
        load: returns the values of many keys, without those that have none.
        max_concurrent: how many batches may run at once; `math.inf` for no limit.
        timeout: returns the seconds after which `get` gives up and returns None.
    """

    def __init__(
        self,
        load: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]],
        *,
        max_concurrent: float = 2,
        max_batch_size: int = 200,
        timeout: Callable[[], float] | None = None,
    ) -> None:
        self._load = load
        self._max_concurrent = self._free = max_concurrent
        self._is_starting = False
        self._max_batch_size = max_batch_size
        self._timeout = timeout
        # One future per caller: a caller that is canceled does not cancel the others.
        self._waiting: dict[K, list[asyncio.Future[V | None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def get(self, key: K) -> V | None:
        """
        Raises:
            Exception: the one that `load` raised, for all keys of the batch.
        """
        if not self._tasks or self._loop is None or self._loop.is_closed():
            self._reset()
        loop = self._loop
        assert loop is not None
        future: asyncio.Future[V | None] = loop.create_future()
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append(future)
        else:
            self._waiting[key] = [future]
            self._start_batch(loop)
        if self._timeout is None:
            return await future
        timer = loop.call_later(self._timeout(), _give_up, future)
        try:
            return await future
        finally:
            timer.cancel()

    def _reset(self) -> None:
        """Start over: no batch is running, or the loop of the running ones was closed."""
        # Only here and not in each `get`: before Python 3.12, `get_running_loop` is a system call.
        self._loop = asyncio.get_running_loop()
        self._free, self._is_starting, self._waiting = self._max_concurrent, False, {}

    def _start_batch(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._is_starting or not self._free or not self._waiting:
            return
        self._free -= 1
        self._is_starting = True
        # Run in an empty context so the query is attributed to the process, not to one request.
        task = loop.create_task(self._run_batch(loop), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _next_batch(self) -> dict[K, list[asyncio.Future[V | None]]]:
        batch = self._waiting
        if len(batch) <= self._max_batch_size:
            self._waiting = {}
            return batch
        return {key: batch.pop(key) for key in list(batch)[: self._max_batch_size]}

    async def _run_batch(self, loop: asyncio.AbstractEventLoop) -> None:
        # Take the keys when the task runs: those that arrived since it was created are included.
        self._is_starting = False
        batch = self._next_batch()
        self._start_batch(loop)
        try:
            values = await self._load(list(batch))
        except BaseException as error:
            for future in _pending(batch):
                future.set_exception(error)
                future.exception()  # marks it as retrieved: its caller may be gone
            if not isinstance(error, Exception):
                raise
        else:
            for key, waiting in batch.items():
                value = values.get(key)
                for future in waiting:
                    if not future.done():
                        future.set_result(value)
        finally:
            self._free += 1
            self._start_batch(loop)


def _give_up(future: asyncio.Future[V | None]) -> None:
    if not future.done():
        future.set_result(None)


def _pending(
    batch: Mapping[K, Sequence[asyncio.Future[V | None]]],
) -> list[asyncio.Future[V | None]]:
    return [future for waiting in batch.values() for future in waiting if not future.done()]
