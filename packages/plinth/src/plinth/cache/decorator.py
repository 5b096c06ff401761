"""`@cached`: cache the results of a function by its arguments."""

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
from plinth.db.tenancy import current_tenant, tenant
from plinth.observability import metrics

P = ParamSpec("P")
R = TypeVar("R")

Plain = str | int | float | bool | None | UUID | date | Decimal | Enum
KEY_EXCLUDED = (AsyncSession, AsyncConnection, Reader)


def cached(
    expire: int = 300,
    key_prefix: str = "",
    *,
    per_organization: bool = True,
    store: Cache = cache,
) -> Callable[[Callable[P, Awaitable[R]]], "Cached[P, R]"]:
    """Cache the results of an async function for `expire` seconds.

    The key consists of `key_prefix`, the organization of the request, if any, and the arguments by
    name. Database sessions are left out. Any other argument must be a plain value, so that
    different calls never share a key.

    Args:
        expire: seconds; also the time a value may outlive a `forget` that did not reach Redis.
        key_prefix: default: the name of the function.
        per_organization: keep the values of organizations apart. With False, all share a value, and
            the function runs without a tenant, so that tables of organizations have no rows.
    """

    def decorate(function: Callable[P, Awaitable[R]]) -> Cached[P, R]:
        prefix = key_prefix or function.__qualname__
        return Cached(function, expire, prefix, store, per_organization=per_organization)

    return decorate


class Cached(Generic[P, R]):
    """A function with cached results. Each value has a version, which `forget` changes.

    A value is valid only under the version that was current when its computation began. So a value
    that was read from the database while another request changed it is not used after the change.
    """

    def __init__(
        self,
        function: Callable[P, Awaitable[R]],
        expire: int,
        prefix: str,
        store: Cache,
        *,
        per_organization: bool,
    ) -> None:
        self._function = function
        self._signature = inspect.signature(function)
        self._takes_one = len(self._signature.parameters) == 1
        self._type: TypeAdapter[R] = TypeAdapter(get_type_hints(function)["return"])
        self._expire = expire
        self._prefix = prefix
        self._per_organization = per_organization
        self._cache = store
        self._load = store.batched(self._read)
        self._running: dict[tuple[str, bytes], asyncio.Future[R]] = {}
        update_wrapper(self, function)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        key = self.key(*args, **kwargs)
        version, value = await self._look_up(key)
        if version is None:
            return await self._run(*args, **kwargs)
        if value is not None:
            # A value from an earlier release may have another type: then compute it again.
            with suppress(ValidationError):
                return self._type.validate_json(value)
        return await self._compute_once(key, version, lambda: self._run(*args, **kwargs))

    async def forget(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Invalidate the cached value of these arguments, in the current organization.

        Call this after the commit.
        """
        name, _ = self._names(self.key(*args, **kwargs))
        version = uuid4().bytes
        await self._cache.call(
            lambda redis: redis.set(name, version, ex=self._expire_version), None
        )

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """
        Raises:
            TypeError: an argument is neither plain nor a session.
        """
        prefix, organization_id = self._prefix, self._find_tenant()
        if organization_id is not None:
            prefix = f"{prefix}:@{organization_id}"  # no argument has a name like this
        if self._takes_one and len(args) == 1 and isinstance(args[0], KEY_EXCLUDED):
            return prefix  # same result as below, faster
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        parts = [prefix]
        for name, value in bound.arguments.items():
            if isinstance(value, KEY_EXCLUDED):
                continue
            if not isinstance(value, Plain):  # type: ignore[misc,arg-type,unused-ignore]
                raise TypeError(
                    f"{self._prefix}: the argument {name} is not a plain value for a cache key"
                )
            parts.append(f"{name}={value!r}")
        return ":".join(parts)

    def _find_tenant(self) -> int | None:
        return current_tenant() if self._per_organization else None

    async def _run(self, *args: P.args, **kwargs: P.kwargs) -> R:
        with tenant(self._find_tenant()):
            return await self._function(*args, **kwargs)

    @property
    def _expire_version(self) -> int:
        return 2 * self._expire  # longer than every value stored under it

    def _names(self, key: str) -> tuple[str, str]:
        return self._cache.name(f"{key}:mark"), self._cache.name(key)

    async def _look_up(self, key: str) -> tuple[bytes | None, bytes | None]:
        """Return the version (None: Redis is down) and the value (None: none of this version)."""
        entry = await self._load(key)
        if entry is None:
            return None, None
        version, stored = entry
        if version is None:
            metrics.cache_misses.inc()
            return await self._set_version(self._names(key)[0]), None
        if stored is None or not stored.startswith(version):
            metrics.cache_misses.inc()
            return version, None
        metrics.cache_hits.inc()
        return version, stored[len(version) :]

    async def _read(self, keys: Sequence[str]) -> Mapping[str, Sequence[bytes | None]]:
        """Return the versions and values of several keys with one command."""
        names = [name for key in keys for name in self._names(key)]

        async def read(redis: Redis) -> list[bytes | None]:
            values: Any = await redis.mget(names)
            return list(values)

        items = await self._cache.call(read, None)
        if items is None:
            return {}
        return dict(zip(keys, zip(items[::2], items[1::2], strict=True), strict=True))

    async def _set_version(self, name: str) -> bytes | None:
        version = uuid4().bytes

        async def set_if_missing(redis: Redis) -> bytes:
            other: Any = await redis.set(name, version, ex=self._expire_version, nx=True, get=True)
            return _as_bytes(other) or version

        return await self._cache.call(set_if_missing, None)

    async def _compute_once(
        self, key: str, version: bytes, compute: Callable[[], Awaitable[R]]
    ) -> R:
        """Compute the value once for all concurrent calls of the same version."""
        if running := self._running.get((key, version)):
            await asyncio.wait([running])
            if not running.cancelled():
                return running.result()
            # The client disconnected and its session is closed: compute with our own.
            return await self._compute_and_store(key, version, compute)
        running = asyncio.ensure_future(self._compute_and_store(key, version, compute))
        self._running[key, version] = running
        running.add_done_callback(lambda _: self._running.pop((key, version)))
        return await running

    async def _compute_and_store(
        self, key: str, version: bytes, compute: Callable[[], Awaitable[R]]
    ) -> R:
        value = await compute()
        _, name = self._names(key)
        data = version + self._type.dump_json(value)
        await self._cache.call(lambda redis: redis.set(name, data, ex=self._expire), None)
        return value


def _as_bytes(item: bytes | str | None) -> bytes | None:
    return item.encode() if isinstance(item, str) else item
