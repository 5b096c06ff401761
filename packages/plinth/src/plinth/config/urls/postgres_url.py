"""Parse `DATABASE_URL` like libpq, and refuse unsupported options.

It knows the options of libpq 18 (https://www.postgresql.org/docs/18/libpq-connect.html) and some of
other programs. No option is ignored silently: it is applied, has no effect with its value, or is
refused with a message that names it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import cycle, islice
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from plinth.config.urls.postgres_tls import TLS_OPTIONS, Tls, read_tls
from plinth.config.urls.service_urls import MAX_PORT, find_url_fault, split_host, split_url

SCHEMES = ("postgresql", "postgres")
PORT = 5432
# RFC 1123, section 2.1. For a longer label, the resolver raises an error of another type.
LABEL = r"[A-Za-z0-9_-]{1,63}"
HOST = re.compile(rf"(?=.{{1,253}}\Z){LABEL}(\.{LABEL})*\.?")

# Supported values; they are applied or have no effect.
VALUES = {
    "client_encoding": ("utf8", "utf-8", "unicode", "auto"),
    "gssdelegation": ("0",),
    "gssencmode": ("disable", "prefer"),
    "keepalives": ("0", "1"),
    "load_balance_hosts": ("disable", "random"),
    "max_protocol_version": ("3.0", "3.2", "latest"),
    "min_protocol_version": ("3.0",),
    "replication": ("0", "false", "no", "off"),
    "sslcertmode": ("allow",),
    "sslcompression": ("0", "1"),  # ignored by libpq too; current TLS libraries do not compress
    "sslsni": ("1",),
    "uselibpqcompat": ("true",),  # of node-postgres: interpret sslmode like libpq
    "target_session_attrs": (
        "any", "read-write", "read-only", "primary", "standby", "prefer-standby",
    ),
}  # fmt: skip
# Unit, and the maximum of libpq or Linux (tcp(7)).
NUMBERS = {
    "connect_timeout": ("seconds", 2**31 - 1),
    "keepalives_count": ("a count", 127),
    "keepalives_idle": ("seconds", 32_767),
    "keepalives_interval": ("seconds", 32_767),
    "tcp_user_timeout": ("milliseconds", 2**31 - 1),
}
TEXTS = (
    "host", "hostaddr", "port", "dbname", "user", "password", "passfile", "options",
    "application_name", "fallback_application_name",
)  # fmt: skip
REFUSED = {
    "gsslib": "Kerberos is not supported: remove it",
    "krbsrvname": "Kerberos is not supported: remove it",
    "oauth_client_id": "OAuth is not supported: remove it",
    "oauth_client_secret": "OAuth is not supported: remove it",
    "oauth_issuer": "OAuth is not supported: remove it",
    "oauth_scope": "OAuth is not supported: remove it",
    "require_auth": "the driver cannot enforce it: remove it, and set sslmode=verify-full, which "
    "authenticates the server",
    "requirepeer": "the driver cannot check it: remove it",
    "requiressl": "it was removed from libpq: write sslmode=require",
    "scram_client_key": "the driver does not support it: use a password",
    "scram_server_key": "the driver does not support it: use a password",
    "service": "service files are not supported: write their values into the URL",
    "servicefile": "service files are not supported: write their values into the URL",
    "sslcrldir": "the driver does not support it: set sslcrl to a file",
    "sslkeylogfile": "logging TLS keys is not supported: remove it",
    # Options of other programs.
    "connection_limit": "it is an option of Prisma: remove it, and set DB_POOL_SIZE",
    "currentSchema": "it is an option of JDBC: write options=-c%20search_path=...",
    "pgbouncer": "it is an option of Prisma: remove it, and set DB_PGBOUNCER=true",
    "pool_timeout": "it is an option of Prisma: remove it, and set DB_WAIT_TIMEOUT",
    "prepareThreshold": "it is an option of JDBC: remove it, and set DB_PGBOUNCER=true",
    "prepared_statement_cache_size": "it is an option of SQLAlchemy: remove it, and set "
    "DB_PGBOUNCER=true",
    "schema": "it is an option of Prisma: write options=-c%20search_path=...",
    "statement_cache_size": "it is an option of asyncpg: remove it, and set DB_PGBOUNCER=true",
    "supa": "it is an option of Supabase for other drivers: remove it",
}
# Session parameters that settings override.
OVERRIDDEN = {
    "statement_timeout": "set DB_STATEMENT_TIMEOUT",
    "lock_timeout": "set DB_LOCK_TIMEOUT",
    "idle_in_transaction_session_timeout": "set DB_IDLE_IN_TRANSACTION_TIMEOUT",
    "timezone": "sessions are in UTC",
    "client_encoding": "sessions are in UTF-8",
}
SSL_VALUES = {"true": "require", "1": "require", "false": "disable", "0": "disable"}
KEEPALIVE = {"keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10,
             "keepalives_count": 3, "tcp_user_timeout": 10_000}  # fmt: skip


class Host(NamedTuple):
    """
    Attributes:
        name: a host name, an IP address, or the folder of a Unix socket.
        address: the IP address of `name`, used instead of DNS (`hostaddr`).
    """

    name: str
    port: int
    address: str | None = None

    @property
    def is_socket(self) -> bool:
        return self.name.startswith("/")


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """
    Attributes:
        hosts: if empty, the driver uses PGHOST, or else the default sockets and localhost.
        settings: session parameters.
        connect_seconds: None if the URL has no `connect_timeout`.
        keepalive: by libpq's names.
        shuffles: whether to try the hosts in random order (`load_balance_hosts`).
    """

    hosts: tuple[Host, ...]
    user: str | None
    password: str | None = field(repr=False)
    database: str | None
    passfile: str | None
    tls: Tls
    settings: Mapping[str, str]
    connect_seconds: int | None
    target_session_attrs: str | None
    keepalive: Mapping[str, int]
    shuffles: bool


def read_postgres_url(url: str) -> PostgresUrl:
    """
    Raises:
        ValueError: the message contains no value of the URL.
    """
    if fault := find_url_fault(url, SCHEMES):
        raise ValueError(fault)
    parts = split_url(url)
    given = _read_query(parts.query)
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    hosts = _read_hosts(parts.netloc.rpartition("@")[2], given)
    numbers = {name: int(given[name]) for name in NUMBERS if name in given}
    application = given.get("application_name") or given.get("fallback_application_name")
    settings = {"application_name": application, "options": given.get("options")}
    _check_options(given.get("options", ""))
    return PostgresUrl(
        hosts=hosts,
        user=given.get("user") or unquote(user) or None,
        password=given.get("password") or unquote(password) or None,
        database=given.get("dbname") or unquote(parts.path.removeprefix("/")) or None,
        passfile=given.get("passfile"),
        tls=read_tls(given, over_network=not any(host.is_socket for host in hosts)),
        settings={name: value for name, value in settings.items() if value},
        connect_seconds=max(numbers.get("connect_timeout", 0), 0) or None,
        target_session_attrs=given.get("target_session_attrs"),
        keepalive=KEEPALIVE
        | {"keepalives": int(given.get("keepalives", "1"))}
        | {name: number for name, number in numbers.items() if name in KEEPALIVE and number > 0},
        shuffles=given.get("load_balance_hosts") == "random",
    )


def with_server_setting(url: str, name: str, value: str) -> str:
    """Add a setting of the session to a URL in libpq's form, besides those it has."""
    option = quote(f"-c {name}={value}")
    parts = urlsplit(url)
    pairs = parts.query.split("&") if parts.query else []
    others = [it for it in pairs if not it.startswith("options=")]
    given = [it for it in pairs if it.startswith("options=")] or ["options="]
    separator = "" if given[-1] == "options=" else "%20"
    return parts._replace(query="&".join([*others, f"{given[-1]}{separator}{option}"])).geturl()


def libpq_url(url: str) -> str:
    """Convert a URL in the form of another driver (`postgresql+asyncpg://`, `ssl=`) to libpq's."""
    address, mark, query = url.partition("://")[2].partition("?")
    pairs = [_convert_option(pair) for pair in query.split("&")]
    return f"postgresql://{address}{mark}{'&'.join(pairs)}"


def _convert_option(pair: str) -> str:
    name, equals, value = pair.partition("=")
    if name == "ssl":
        return f"sslmode{equals}{SSL_VALUES.get(value, value)}"
    return f"dbname{equals}{value}" if name == "database" else pair


def _read_query(query: str) -> dict[str, str]:
    """Return the options by libpq's names. Unlike in a form, `+` is not a space."""
    given = {}
    for pair in query.split("&") if query else ():
        name, equals, value = map(unquote, _convert_option(pair).partition("="))
        if not equals or not name:
            raise ValueError("has a ? that is not followed by name=value&name=value")
        _check_option(name, value)
        if value:  # like libpq, treat an empty value as missing
            given[name] = value
    return given


def _check_option(name: str, value: str) -> None:
    if reason := REFUSED.get(name):
        raise ValueError(f"has the option {name}; {reason}")
    if name not in (*TEXTS, *VALUES, *NUMBERS, *TLS_OPTIONS):
        shown = f"the option {name}, which" if name.isidentifier() else "an option that"
        raise ValueError(
            f"has {shown} libpq does not have. Pass server settings as options=-c%20name=value"
        )
    allowed = VALUES.get(name, ()) + TLS_OPTIONS.get(name, ())
    if value and allowed and value.lower() not in map(str.lower, allowed):
        raise ValueError(f"has a value of {name} that is not supported: use {' or '.join(allowed)}")
    if value and name in NUMBERS:
        _check_number(name, value)


def _check_number(name: str, value: str) -> None:
    unit, maximum = NUMBERS[name]
    if not re.fullmatch(r"-?[0-9]{1,10}", value) or int(value) > maximum:
        raise ValueError(f"has a {name} that is not {unit}, as a whole number up to {maximum}")


def _read_hosts(listed: str, given: Mapping[str, str]) -> tuple[Host, ...]:
    """Combine hosts, ports and addresses: one port for all hosts or one each, and likewise no
    address or one each."""
    pairs = [split_host(text, PORT) for text in listed.split(",")] if listed else []
    names, ports = [name for name, _ in pairs], [port for _, port in pairs] or [PORT]
    if "host" in given:
        names = given["host"].split(",")
    if "port" in given:
        ports = [_read_port(text) for text in given["port"].split(",")]
    addresses = given["hostaddr"].split(",") if "hostaddr" in given else []
    names = names or [""] * len(addresses)
    if names and (len(ports) not in (1, len(names)) or len(addresses) not in (0, len(names))):
        raise ValueError("has different numbers of hosts and of ports or addresses (hostaddr)")
    hosts = zip(
        names, islice(cycle(ports), len(names)), addresses or [""] * len(names), strict=True
    )
    return tuple(_make_host(*host) for host in hosts)


def _make_host(name: str, port: int, address: str) -> Host:
    if address and not _is_address(address):
        raise ValueError("has a hostaddr that is not an IP address: use host for a name")
    name = name or address or "localhost"
    if not (name.startswith("/") or HOST.fullmatch(name) or _is_address(name)):
        raise ValueError("has a host that is not a name, an IP address or the folder of a socket")
    return Host(name, port, address or None)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _read_port(text: str) -> int:
    if not text:
        return PORT
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PORT:
        raise ValueError(f"has a port that is not between 1 and {MAX_PORT}")
    return int(text)


def _check_options(options: str) -> None:
    for word in options.replace("-c", " ").replace("--", " ").split():
        name = word.partition("=")[0].replace("-", "_").lower()
        if advice := OVERRIDDEN.get(name):
            raise ValueError(f"sets {name} in options: remove it there ({advice})")
