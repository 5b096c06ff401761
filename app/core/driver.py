"""How asyncpg is used: which host, with which bounds, and what it must not call a success.

Why it is asyncpg, and what of it is overridden here: docs/decisions/driver.md.
"""

import socket
from collections.abc import Mapping
from functools import partial
from typing import Any

import asyncpg

from app.core.hosts import Host, find_hosts, first_of
from app.core.service_urls import without_hosts

STAGGER = 0.25  # seconds for a host to answer before the next one is tried as well
CLOSE_SECONDS = 0.2
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 10_000}
SYNCREP = "syncrep.c"  # the server's source that speaks of the wait for a synchronous standby


class Connection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that is closed without ado, and knows what is no success."""

    __slots__ = ("_unreplicated",)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unreplicated = False
        self.add_log_listener(self._note_warning)
        _keep_alive(self._transport.get_extra_info("socket"))

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109
        """
        Raises:
            TransactionResolutionUnknownError: it is committed here, and perhaps nowhere else, since
                the wait for the synchronous standby was broken off. PostgreSQL calls that a success
                and adds a warning.
        """
        self._unreplicated = False
        status: str = await super().execute(query, *args, timeout=timeout)
        self._require_replicated()
        return status

    async def fetch_durably(
        self,
        query: str,
        *args: Any,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> list[asyncpg.Record]:
        """As `fetch`, for a statement that is a transaction by itself.

        Raises:
            TransactionResolutionUnknownError: as `execute`.
        """
        self._unreplicated = False
        rows: list[asyncpg.Record] = await self.fetch(query, *args, timeout=timeout)
        self._require_replicated()
        return rows

    async def set_type_codec(self, *args: Any, **options: Any) -> None:
        """In one transaction, so that through PgBouncer its questions go to one server."""
        if self._config.statement_cache_size:
            await super().set_type_codec(*args, **options)
            return
        async with self.transaction():
            await super().set_type_codec(*args, **options)

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """A frozen server does not say goodbye, nor that it cancelled what did not end in time: for
        asyncpg two seconds to wait for, for each connection."""
        await super().close(timeout=min(timeout or CLOSE_SECONDS, CLOSE_SECONDS))

    def _require_replicated(self) -> None:
        if self._unreplicated:
            raise asyncpg.TransactionResolutionUnknownError(
                "committed, but not confirmed by the synchronous standby"
            )

    def _note_warning(self, _: asyncpg.Connection, message: asyncpg.PostgresLogMessage) -> None:
        # By its source: the text comes in the server's language, and the SQLSTATE is any warning's.
        if message.server_source_filename == SYNCREP:
            self._unreplicated = True


class Connector:
    """Opens connections to the host that serves; of several, to the one that served last first.

    Args:
        url: libpq's. With several hosts it means the one that can be written to, unless it has
            `target_session_attrs`.
        seconds: the most that one host may take.
        options: asyncpg's.
    """

    def __init__(self, url: str, *, seconds: float, **options: Any) -> None:
        hosts = find_hosts(url)
        self._hosts = hosts if len(hosts) > 1 else []
        if self._hosts and "target_session_attrs=" not in url:
            options["target_session_attrs"] = "read-write"
        where = without_hosts(url) if self._hosts else url
        self._open = partial(
            asyncpg.connect, where, timeout=seconds, connection_class=Connection, **options
        )

    async def connect(self) -> Connection:
        if not self._hosts:
            return await self._open_at()
        hosts = list(self._hosts)
        attempts = [partial(self._open_at, host) for host in hosts]
        place, connection = await first_of(
            attempts, stagger=STAGGER, discard=lambda spare: spare.terminate()
        )
        self._hosts.sort(key=lambda host: host != hosts[place])
        return connection

    async def _open_at(self, host: Host | None = None) -> Connection:
        where = {"host": host[0], "port": host[1]} if host else {}
        try:
            opened: Connection = await self._open(**where)
        except asyncpg.TargetServerAttributeNotMatched as error:
            raise ConnectionRefusedError(str(error)) from error  # no host that serves is no host
        return opened


def server_settings(bounds: Mapping[str, float], **more: str) -> dict[str, str]:
    """For a session.

    Args:
        bounds: seconds, by the name of a parameter of PostgreSQL that takes milliseconds.
    """
    return {name: str(int(seconds * 1000)) for name, seconds in bounds.items()} | more


def _keep_alive(opened: socket.socket | None) -> None:
    """A host that is gone without a word is noticed between statements too."""
    if opened is None or opened.family not in (socket.AF_INET, socket.AF_INET6):
        return
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if option := getattr(socket, name, None):  # not every system has them all
            opened.setsockopt(socket.IPPROTO_TCP, option, value)
