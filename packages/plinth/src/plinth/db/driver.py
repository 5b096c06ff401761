"""asyncpg connections: choice of the host, TLS, timeouts, and synchronous replication.

docs/explanation/decisions/driver.md explains each deviation from asyncpg's defaults.
"""

import asyncio
import random
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import asyncpg

from plinth.config.urls.postgres_tls import WEAK, Tls, make_context
from plinth.config.urls.postgres_url import Host, read_postgres_url

T = TypeVar("T")

STAGGER_SECONDS = 0.25  # after this time without an answer, the next host is tried as well
CLOSE_SECONDS = 0.2
KEEPALIVE = {
    "keepalives_idle": "TCP_KEEPIDLE",
    "keepalives_interval": "TCP_KEEPINTVL",
    "keepalives_count": "TCP_KEEPCNT",
    "tcp_user_timeout": "TCP_USER_TIMEOUT",
}
SYNC_REPLICATION_SOURCE = "syncrep.c"  # the server's source file that emits the warning


class Connection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that closes quickly and reports a commit that was not replicated."""

    __slots__ = ("_unreplicated",)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unreplicated = False
        self.add_log_listener(self._note_warning)

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109
        """
        Raises:
            TransactionResolutionUnknownError: committed on the primary, but the wait for the
                synchronous standby was canceled. PostgreSQL reports success with a warning.
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
        """Run a statement that is its own transaction, and return its rows.

        Raises:
            TransactionResolutionUnknownError: as in `execute`.
        """
        self._unreplicated = False
        rows: list[asyncpg.Record] = await self.fetch(query, *args, timeout=timeout)
        self._require_replicated()
        return rows

    async def set_type_codec(self, *args: Any, **options: Any) -> None:
        """Use one transaction through PgBouncer, so that all queries reach the same server."""
        if self._config.statement_cache_size:
            await super().set_type_codec(*args, **options)
            return
        async with self.transaction():
            await super().set_type_codec(*args, **options)

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Wait at most `CLOSE_SECONDS` for the server, because a frozen one never confirms."""
        await super().close(timeout=min(timeout or CLOSE_SECONDS, CLOSE_SECONDS))

    def _require_replicated(self) -> None:
        if self._unreplicated:
            raise asyncpg.TransactionResolutionUnknownError(
                "committed, but not confirmed by the synchronous standby"
            )

    def _note_warning(self, _: asyncpg.Connection, message: asyncpg.PostgresLogMessage) -> None:
        # Only the source file identifies it: the text is translated, and the SQLSTATE is generic.
        if message.server_source_filename == SYNC_REPLICATION_SOURCE:
            self._unreplicated = True


class Connector:
    """Open connections. Of several hosts, try the one that was used last first.

    Args:
        url: in libpq's form. Of several hosts, the writable one is used, unless the URL has
            `target_session_attrs`.
        seconds: the timeout per host, unless the URL has `connect_timeout`.
        server_settings: session parameters; those of the URL take precedence.
        options: passed to `asyncpg.connect`.
    """

    def __init__(
        self,
        url: str,
        *,
        seconds: float,
        server_settings: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        parsed = read_postgres_url(url)
        self._url = parsed
        self._hosts: list[Host | None] = [*parsed.hosts] or [None]
        self._open = partial(
            asyncpg.connect,
            user=parsed.user,
            password=parsed.password,
            database=parsed.database,
            passfile=parsed.passfile,
            direct_tls=parsed.tls.is_direct or None,
            timeout=parsed.connect_seconds or seconds,
            server_settings=dict(server_settings or {}) | dict(parsed.settings),
            connection_class=Connection,
            **options,
        )
        self._tls = {
            name: _tls_argument(parsed.tls, name) for name in map(_certificate_name, self._hosts)
        }

    async def connect(self) -> Connection:
        target = self._url.target_session_attrs
        if len(self._hosts) == 1:
            return await self._connect_to(self._hosts[0], target)
        if target != "prefer-standby":
            return await self._connect_to_any(target or "read-write")
        try:
            return await self._connect_to_any("standby")
        except OSError:
            return await self._connect_to_any("any")

    async def _connect_to_any(self, target: str) -> Connection:
        hosts = list(self._hosts)
        if self._url.shuffles:
            random.shuffle(hosts)
        attempts = [partial(self._connect_to, host, target) for host in hosts]
        index, connection = await connect_to_first(
            attempts, stagger=STAGGER_SECONDS, discard=lambda surplus: surplus.terminate()
        )
        self._hosts.sort(key=lambda host: host != hosts[index])
        return connection

    async def _connect_to(self, host: Host | None, target: str | None) -> Connection:
        address = {"host": host.address or host.name, "port": host.port} if host else {}
        try:
            connection: Connection = await self._open(
                **address, ssl=self._tls[_certificate_name(host)], target_session_attrs=target
            )
        except asyncpg.TargetServerAttributeNotMatched as error:
            raise ConnectionRefusedError(str(error)) from error  # the caller tries the next host
        transport = connection._transport  # noqa: SLF001
        _set_keepalive(transport.get_extra_info("socket"), self._url.keepalive)
        return connection


async def connect_to_first(
    attempts: Sequence[Callable[[], Awaitable[T]]],
    *,
    stagger: float,
    discard: Callable[[T], object],
) -> tuple[int, T]:
    """Return the index and the result of the first attempt that succeeds.

    An attempt starts when all earlier ones have failed, or have not finished `stagger` seconds
    after the last one started, as in RFC 8305 ("Happy Eyeballs"). So a frozen host delays the
    connection by `stagger` and not by its whole timeout.

    Args:
        discard: called with the result of each further attempt that succeeds.

    Raises:
        Exception: the one of the first attempt, if all fail.
    """
    running: dict[asyncio.Future[T], int] = {}
    waiting = deque(enumerate(attempts))
    failures: dict[int, BaseException] = {}
    try:
        while waiting or running:
            if waiting:
                index, attempt = waiting.popleft()
                running[asyncio.ensure_future(attempt())] = index
            done, _ = await asyncio.wait(
                running, timeout=stagger if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            ended = sorted((running.pop(task), task) for task in done)
            succeeded = [(index, task.result()) for index, task in ended if not task.exception()]
            for _, surplus in succeeded[1:]:
                discard(surplus)
            if succeeded:
                return succeeded[0]
            failures |= {index: error for index, task in ended if (error := task.exception())}
        raise failures[min(failures)]
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(lambda late: _discard_late(late, discard))


def _discard_late(task: "asyncio.Future[T]", discard: Callable[[T], object]) -> None:
    with suppress(asyncio.CancelledError):
        if task.exception() is None:
            discard(task.result())


def _certificate_name(host: Host | None) -> str | None:
    """Return the name to verify, if the URL gives an IP address (`hostaddr`) besides the name."""
    return host.name if host and host.address else None


def _tls_argument(tls: Tls, name: str | None) -> ssl.SSLContext | str:
    """Return the `ssl` argument of asyncpg, which handles the modes with a plaintext fallback."""
    return tls.mode if tls.mode in WEAK else make_context(tls, name)


def server_settings(timeouts: Mapping[str, float], **more: str) -> dict[str, str]:
    """Return the parameters of a session.

    Args:
        timeouts: seconds, by the name of a PostgreSQL parameter in milliseconds.
    """
    return {name: str(int(seconds * 1000)) for name, seconds in timeouts.items()} | more


def _set_keepalive(connected: socket.socket | None, options: Mapping[str, int]) -> None:
    """Detect a host that disappeared without closing the connection, also between statements."""
    if connected is None or connected.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, options["keepalives"])
    for option, name in KEEPALIVE.items():
        if number := getattr(socket, name, None):  # some systems lack some of them
            connected.setsockopt(socket.IPPROTO_TCP, number, options[option])
