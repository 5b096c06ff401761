"""Parse `REDIS_URL`, and refuse unsupported options.

redis-py passes unknown options to each connection, which would fail with each request.
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from plinth.config.urls.service_urls import find_url_fault, split_host, split_url

SCHEMES = ("redis", "rediss", "unix")
PORT, SENTINEL_PORT = 6379, 26379
MAX_DB = 65_535
BUDGET = "CACHE_TIMEOUT_MS is the only timeout: remove it"
REFUSED = {
    "socket_timeout": BUDGET,
    "socket_connect_timeout": BUDGET,
    "timeout": BUDGET,
    "retry_on_timeout": BUDGET,
    "max_connections": "the size of the pool is fixed: remove it",
    "decode_responses": "values are always bytes: remove it",
    "encoding": "values are always bytes: remove it",
    "ssl": "for TLS write rediss:// instead",
    "tls": "for TLS write rediss:// instead",
    "family": "it is an option of ioredis: remove it",
    "cluster": "Redis in cluster mode is not supported",
}
BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
CERT_REQS = {
    f"{prefix}{name}": name for prefix in ("", "cert_") for name in ("none", "optional", "required")
}
VERSIONS = {"tlsv1.2": ssl.TLSVersion.TLSv1_2, "tlsv1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """
    Attributes:
        options: of a connection, by redis-py's names.
        sentinels: hosts and ports of the Sentinels; empty for a single server.
        service: the name of the primary at the Sentinels.
        sentinel_options: the account at the Sentinels.
    """

    tls: bool
    options: Mapping[str, Any] = field(repr=False)
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = ""
    sentinel_options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def password(self) -> str | None:
        password: str | None = self.options.get("password")
        return password


def read_redis_url(url: str) -> RedisUrl:
    """Read `redis://user:password@host:port/db`, `rediss://` for TLS, `unix:///path?db=0`, or
    `redis+sentinel://user:password@host:port,host/service/db?sentinel_password=...`.

    Raises:
        ValueError: the message contains no value of the URL.
    """
    if fault := find_url_fault(url, SCHEMES):
        raise ValueError(fault)
    parts = split_url(url)
    account, _, hosts = parts.netloc.rpartition("@")
    username, _, password = account.partition(":")
    tls = parts.scheme.startswith("rediss")
    account_given = {"username": unquote(username) or None, "password": unquote(password) or None}
    options: dict[str, Any] = account_given | _read_query(
        parts.query, tls=tls, sentinel="+" in parts.scheme
    )
    if tls:
        _check_files(options)
    if parts.scheme == "unix":
        if "socket_keepalive" in options:
            raise ValueError("has the option socket_keepalive, which a Unix socket does not have")
        if not parts.path.strip("/"):
            raise ValueError("has no socket: write unix:///path/to/the.sock")
        return RedisUrl(False, {"path": unquote(parts.path), "db": 0} | options)
    if "," in hosts and "+" not in parts.scheme:
        raise ValueError(
            "has several hosts: for Sentinels write redis+sentinel://; clusters are not supported"
        )
    service, db = ("", parts.path.removeprefix("/"))
    if "+" in parts.scheme:
        service, _, db = parts.path.strip("/").partition("/")
        if not service or not (db or "0").isdecimal():
            raise ValueError(
                "must have the form redis+sentinel://host:port,host:port/service/database-number"
            )
    options = {"db": _read_db(db)} | options
    sentinel_options = {
        name.removeprefix("sentinel_"): options.pop(name)
        for name in ("sentinel_username", "sentinel_password")
        if name in options
    }
    if service:
        sentinels = tuple(split_host(host, SENTINEL_PORT) for host in hosts.split(","))
        return RedisUrl(tls, options, sentinels, unquote(service), sentinel_options)
    host, port = split_host(hosts, PORT)
    return RedisUrl(tls, options | {"host": host or "localhost", "port": port})


def _read_query(query: str, *, tls: bool, sentinel: bool) -> dict[str, Any]:
    given = {}
    for pair in query.split("&") if query else ():
        name, equals, value = map(unquote, pair.partition("="))
        if not equals or not name:
            raise ValueError("has a ? that is not followed by name=value&name=value")
        if reason := REFUSED.get(name):
            raise ValueError(f"has the option {name}; {reason}")
        read = _OPTIONS.get(name)
        if read is None or (name.startswith("sentinel_") and not sentinel):
            shown = f"the option {name}, which" if name.isidentifier() else "an option that"
            raise ValueError(f"has {shown} is unknown: remove it")
        if name.startswith("ssl_") and not tls:
            raise ValueError(f"has the option {name}, which has no effect without rediss://")
        if value:
            try:
                given[name] = read(value)
            except (ValueError, KeyError):
                raise ValueError(f"has a value of {name} that is not supported") from None
    return given


def _read_db(text: str) -> int:
    if not (text or "0").isdecimal() or int(text or 0) > MAX_DB:
        raise ValueError(f"has a path that is not a database number from 0 to {MAX_DB}")
    return int(text or 0)


def _read_protocol(text: str) -> int:
    return {"2": 2, "3": 3}[text]


def _read_client_name(text: str) -> str:
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError  # CLIENT SETNAME would fail on each connection
    return text


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "db": _read_db,
    "username": str,
    "password": str,
    "client_name": _read_client_name,
    "protocol": _read_protocol,
    "health_check_interval": _read_db,
    "socket_keepalive": lambda text: BOOLEANS[text.lower()],
    "sentinel_username": str,
    "sentinel_password": str,
    "ssl_cert_reqs": lambda text: CERT_REQS[text.lower()],
    "ssl_check_hostname": lambda text: BOOLEANS[text.lower()],
    "ssl_ca_certs": str,
    "ssl_ca_path": str,
    "ssl_certfile": str,
    "ssl_keyfile": str,
    "ssl_password": str,
    "ssl_min_version": lambda text: VERSIONS[text.lower()],
    "ssl_ciphers": str,
}


def _check_files(options: Mapping[str, Any]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if "ssl_keyfile" in options and "ssl_certfile" not in options:
        raise ValueError("has an ssl_keyfile without an ssl_certfile")
    for name, load in (
        ("ssl_ca_certs", lambda path: context.load_verify_locations(cafile=path)),
        ("ssl_ca_path", lambda path: context.load_verify_locations(capath=path)),
        (
            "ssl_certfile",
            lambda path: context.load_cert_chain(
                path, options.get("ssl_keyfile"), lambda: options.get("ssl_password", "")
            ),
        ),
        ("ssl_ciphers", context.set_ciphers),
    ):
        if value := options.get(name):
            try:
                load(value)
            except ssl.SSLError:
                raise ValueError(f"has an {name} that is not valid") from None
            except OSError as error:
                raise ValueError(f"has an {name} that cannot be read ({error.strerror})") from None
