"""The one place that opens connections and commits.

One request is one transaction: whoever works in it flushes, and `Database.transaction` commits once
at the end, before the answer is sent (`api/deps.py` binds it function-scoped).
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from app.core.config import Settings
from app.core.violations import Violations

BEFORE_COMMIT, AFTER_COMMIT = "before_commit", "after_commit"


class Database:
    """A pooled engine with its sessions; one a process, made by the lifespan.

    Args:
        url: libpq's form, whatever driver it names: `postgresql://user:password@host:port/name`,
            with several hosts, `sslmode`, `target_session_attrs`, a socket folder as `?host=`.
        settings: the pool's figures (`DB_*`).
        metadata: the schema, whose constraints say what their violation means.
    """

    def __init__(self, url: str, settings: Settings, metadata: MetaData) -> None:
        self._violations = Violations(metadata)

        async def connect() -> Any:
            return await asyncpg.connect(
                libpq_url(url),
                timeout=settings.DB_CONNECT_TIMEOUT,
                command_timeout=settings.DB_COMMAND_TIMEOUT,
                server_settings={"timezone": "UTC", "application_name": settings.PROJECT_NAME},
            )

        self.engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            pool_size=settings.DB_POOL_SIZE,
            max_overflow=settings.DB_MAX_OVERFLOW,
            pool_timeout=settings.DB_POOL_TIMEOUT,
            pool_recycle=settings.DB_POOL_RECYCLE,
            pool_pre_ping=True,
            echo=settings.DB_ECHO,
            hide_parameters=not settings.DEBUG,  # an error's text must not carry a password's hash
        )
        self._reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session whose work is committed at the end of the block, or undone when it raises.

        An error with `keeps_changes` commits and is raised all the same.

        Raises:
            PlinthError: what the database refused, named by the violated constraint or the
                SQLSTATE; `Unavailable` when it is away.
        """
        async with self.translated(), AsyncSession(self.engine, expire_on_commit=False) as session:
            try:
                yield session
            except Exception as error:
                if not getattr(error, "keeps_changes", False):
                    raise
                await _commit(session)
                raise
            await _commit(session)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reads outside any transaction: nothing to begin, nothing to end."""
        async with self.translated(), self._reading.connect() as connection:
            yield connection

    @asynccontextmanager
    async def translated(self) -> AsyncIterator[None]:
        try:
            yield
        except Exception as error:
            if meaning := self._violations.explain(error):
                raise meaning from error
            raise

    def pool_status(self) -> dict[str, int]:
        """Connections: the steady pool's size, lent out, idle, and open beyond the size."""
        pool = self.engine.pool
        assert isinstance(pool, AsyncAdaptedQueuePool)
        return {
            "size": pool.size(),
            "checked_out": pool.checkedout(),
            "checked_in": pool.checkedin(),
            "overflow": max(pool.overflow(), 0),
        }

    async def close(self) -> None:
        await self.engine.dispose()


def before_commit(session: AsyncSession, act: Callable[[], Awaitable[object]]) -> None:
    """Have `act` run as the last of the transaction: for what takes a lock that all others want."""
    session.info.setdefault(BEFORE_COMMIT, []).append(act)


def after_commit(session: AsyncSession, act: Callable[[], Awaitable[object]]) -> None:
    """Have `act` run once the transaction is durable, and not at all when it is undone."""
    session.info.setdefault(AFTER_COMMIT, []).append(act)


async def release(session: AsyncSession) -> None:
    """Give the connection back before slow work that needs none, such as hashing a password.

    Only what was read so far is behind it: a session with changes may not let go of them.
    """
    if session.new or session.dirty or session.deleted:
        raise RuntimeError("release() is for a session that has only read")
    await session.commit()


async def _commit(session: AsyncSession) -> None:
    for act in session.info.pop(BEFORE_COMMIT, ()):
        await act()
    await session.commit()
    for act in session.info.pop(AFTER_COMMIT, ()):
        await act()


def libpq_url(url: str) -> str:
    """`postgresql+asyncpg://…`, `postgres://…` and their kind as `postgresql://…`."""
    return "postgresql://" + url.partition("://")[2]
