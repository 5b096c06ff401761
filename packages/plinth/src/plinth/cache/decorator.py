"""`@cached`: keep what a function returns, by its named arguments."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from decimal import Decimal
from enum import Enum
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, get_type_hints
from uuid import UUID, uuid4

from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from plinth.cache.client import Cache, cache
from plinth.db.reading import Reader
from plinth.observability import metrics

P = ParamSpec("P")
R = TypeVar("R")

Plain = str | int | float | bool | None | UUID | date | Decimal | Enum
NOT_IN_THE_KEY = (AsyncSession, AsyncConnection, Reader)


def cached(
    expire: int = 300, key_prefix: str = "", *, store: Cache = cache
) -> Callable[[Callable[P, Awaitable[R]]], "Cached[P, R]"]:
    """Keep what an async function returns for `expire` seconds.

    The key is `key_prefix` (the function's own name where empty) and its arguments by name. A
    session is how a value is found, not which one, and is left out; any other argument that is not
    plain is an error, for two different calls must never share a key.

    Arguments:
        expire: seconds; also how long a value may outlive a `forget` that did not reach Redis.
    """

    def decorate(function: Callable[P, Awaitable[R]]) -> Cached[P, R]:
        return Cached(function, expire, key_prefix or function.__qualname__, store)

    return decorate


class Cached(Generic[P, R]):
    """A function with a memory. Beside its value a mark is kept, which `forget` changes.

    A value counts only under the mark that stood when its making began. So one that was being read
    from the database while another request changed it is not believed after the change.
    """

    def __init__(
        self, function: Callable[P, Awaitable[R]], expire: int, prefix: str, store: Cache
    ) -> None:
        self._function = function
        self._signature = inspect.signature(function)
        self._takes_one = len(self._signature.parameters) == 1
        self._type: TypeAdapter[R] = TypeAdapter(get_type_hints(function)["return"])
        self._expire = expire
        self._prefix = prefix
        self._cache = store
        self._look = store.batched(self._read)
        self._flights: dict[tuple[str, bytes], asyncio.Future[R]] = {}
        update_wrapper(self, function)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        key = self.key(*args, **kwargs)
        mark, value = await self._look_up(key)
        if mark is None:
            return await self._function(*args, **kwargs)
        if value is not None:
            # What an older version of the function wrote may not fit: then it is made anew.
            with suppress(ValidationError):
                return self._type.validate_json(value)
        return await self._fly(key, mark, lambda: self._function(*args, **kwargs))

    async def forget(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Have the next call with these arguments find out anew. Call it after the commit."""
        mark_name, _ = self._names(self.key(*args, **kwargs))
        mark = uuid4().bytes
        await self._cache.call(lambda redis: redis.set(mark_name, mark, ex=self._mark_expire), None)

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """
        Raises:
            TypeError: an argument is neither plain nor a session.
        """
        if self._takes_one and len(args) == 1 and isinstance(args[0], NOT_IN_THE_KEY):
            return self._prefix  # as below, at once
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        parts = [self._prefix]
        for name, value in bound.arguments.items():
            if isinstance(value, NOT_IN_THE_KEY):
                continue
            if not isinstance(value, Plain):  # type: ignore[misc,arg-type,unused-ignore]
                raise TypeError(f"{name} of {self._prefix} is no plain value to make a key of")
            parts.append(f"{name}={value!r}")
        return ":".join(parts)

    @property
    def _mark_expire(self) -> int:
        return 2 * self._expire  # longer than any value that was stored under it

    def _names(self, key: str) -> tuple[str, str]:
        return self._cache.name(f"{key}:mark"), self._cache.name(key)

    async def _look_up(self, key: str) -> tuple[bytes | None, bytes | None]:
        """The mark (None: Redis is away) and the value (None: none under this mark)."""
        found = await self._look(key)
        if found is None:
            return None, None
        mark, stored = found
        if mark is None:
            metrics.cache_misses.inc()
            return await self._set_mark(self._names(key)[0]), None
        if stored is None or not stored.startswith(mark):
            metrics.cache_misses.inc()
            return mark, None
        metrics.cache_hits.inc()
        return mark, stored[len(mark) :]

    async def _read(self, keys: Sequence[str]) -> Mapping[str, Sequence[bytes | None]]:
        """Marks and values, of all that ask at the same time by one command."""
        names = [name for key in keys for name in self._names(key)]

        async def read(redis: Redis) -> list[bytes | None]:
            values: Any = await redis.mget(names)
            return list(values)

        found = await self._cache.call(read, None)
        if found is None:
            return {}
        return dict(zip(keys, zip(found[::2], found[1::2], strict=True), strict=True))

    async def _set_mark(self, mark_name: str) -> bytes | None:
        mark = uuid4().bytes

        async def set_unless_there(redis: Redis) -> bytes:
            other: Any = await redis.set(mark_name, mark, ex=self._mark_expire, nx=True, get=True)
            return _as_bytes(other) or mark

        return await self._cache.call(set_unless_there, None)

    async def _fly(self, key: str, mark: bytes, make: Callable[[], Awaitable[R]]) -> R:
        """Make the value once for all who ask under the same mark at the same time."""
        if flight := self._flights.get((key, mark)):
            await asyncio.wait([flight])
            if not flight.cancelled():
                return flight.result()
            # Its client hung up, and its session is gone: we make the value with ours.
            return await self._make_and_keep(key, mark, make)
        flight = asyncio.ensure_future(self._make_and_keep(key, mark, make))
        self._flights[key, mark] = flight
        flight.add_done_callback(lambda _: self._flights.pop((key, mark)))
        return await flight

    async def _make_and_keep(self, key: str, mark: bytes, make: Callable[[], Awaitable[R]]) -> R:
        value = await make()
        _, name = self._names(key)
        data = mark + self._type.dump_json(value)
        await self._cache.call(lambda redis: redis.set(name, data, ex=self._expire), None)
        return value


def _as_bytes(item: bytes | str | None) -> bytes | None:
    return item.encode() if isinstance(item, str) else item
