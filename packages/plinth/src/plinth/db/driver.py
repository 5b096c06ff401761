"""How asyncpg is used: which host, with which bounds, and what it must not call a success.

Why it is asyncpg, and what of it is overridden here: docs/explanation/decisions/driver.md.
"""

import random
import socket
import ssl
from collections.abc import Mapping
from functools import partial
from typing import Any

import asyncpg

from plinth.config.urls.postgres_tls import WEAK, Tls, make_context
from plinth.config.urls.postgres_url import Host, read_postgres_url
from plinth.db.hosts import connect_to_first

STAGGER = 0.25  # seconds for a host to answer before the next one is tried as well
CLOSE_SECONDS = 0.2
KEEPALIVE = {
    "keepalives_idle": "TCP_KEEPIDLE",
    "keepalives_interval": "TCP_KEEPINTVL",
    "keepalives_count": "TCP_KEEPCNT",
    "tcp_user_timeout": "TCP_USER_TIMEOUT",
}
SYNCREP = "syncrep.c"  # the server's source that speaks of the wait for a synchronous standby


class Connection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that is closed without ado, and knows what is no success."""

    __slots__ = ("_unreplicated",)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unreplicated = False
        self.add_log_listener(self._note_warning)

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
        seconds: the most that one host may take, unless the URL says (`connect_timeout`).
        server_settings: of the session; those of the URL win.
        options: asyncpg's.
    """

    def __init__(
        self,
        url: str,
        *,
        seconds: float,
        server_settings: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        given = read_postgres_url(url)
        self._url = given
        self._hosts: list[Host | None] = [*given.hosts] or [None]
        self._open = partial(
            asyncpg.connect,
            user=given.user,
            password=given.password,
            database=given.database,
            passfile=given.passfile,
            direct_tls=given.tls.is_direct or None,
            timeout=given.connect_seconds or seconds,
            server_settings=dict(server_settings or {}) | dict(given.settings),
            connection_class=Connection,
            **options,
        )
        self._tls = {name: _find_tls(given.tls, name) for name in map(_name_to_prove, self._hosts)}

    async def connect(self) -> Connection:
        wanted = self._url.target_session_attrs
        if len(self._hosts) == 1:
            return await self._open_at(self._hosts[0], wanted)
        if wanted != "prefer-standby":
            return await self._open_first(wanted or "read-write")
        try:
            return await self._open_first("standby")
        except OSError:
            return await self._open_first("any")

    async def _open_first(self, wanted: str) -> Connection:
        hosts = list(self._hosts)
        if self._url.shuffles:
            random.shuffle(hosts)
        attempts = [partial(self._open_at, host, wanted) for host in hosts]
        place, connection = await connect_to_first(
            attempts, stagger=STAGGER, discard=lambda spare: spare.terminate()
        )
        self._hosts.sort(key=lambda host: host != hosts[place])
        return connection

    async def _open_at(self, host: Host | None, wanted: str | None) -> Connection:
        where = {"host": host.address or host.name, "port": host.port} if host else {}
        try:
            opened: Connection = await self._open(
                **where, ssl=self._tls[_name_to_prove(host)], target_session_attrs=wanted
            )
        except asyncpg.TargetServerAttributeNotMatched as error:
            raise ConnectionRefusedError(str(error)) from error  # no host that serves is no host
        _keep_alive(opened._transport.get_extra_info("socket"), self._url.keepalive)  # noqa: SLF001
        return opened


def _name_to_prove(host: Host | None) -> str | None:
    """The one that the certificate has to have, where it is not what we connect to."""
    return host.name if host and host.address else None


def _find_tls(tls: Tls, name: str | None) -> ssl.SSLContext | str:
    """In asyncpg's terms: it tries with and without TLS where that is not required."""
    return tls.mode if tls.mode in WEAK else make_context(tls, name)


def server_settings(bounds: Mapping[str, float], **more: str) -> dict[str, str]:
    """For a session.

    Args:
        bounds: seconds, by the name of a parameter of PostgreSQL that takes milliseconds.
    """
    return {name: str(int(seconds * 1000)) for name, seconds in bounds.items()} | more


def _keep_alive(opened: socket.socket | None, given: Mapping[str, int]) -> None:
    """A host that is gone without a word is noticed between statements too."""
    if opened is None or opened.family not in (socket.AF_INET, socket.AF_INET6):
        return
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, given["keepalives"])
    for option, name in KEEPALIVE.items():
        if number := getattr(socket, name, None):  # not every system has them all
            opened.setsockopt(socket.IPPROTO_TCP, number, given[option])
