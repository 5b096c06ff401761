"""The URLs of PostgreSQL and Redis, before a library has seen them."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlsplit

SENTINEL_PORT = 26379
HOST = r"(\[[0-9A-Fa-f:.%]+\]|[^][:@,]*)(:\d{1,5})?"
NETLOC = re.compile(rf"([^][@]*@)?{HOST}(,{HOST})*")


def find_url_fault(url: str, schemes: tuple[str, ...]) -> str | None:
    """Said without a piece of it: what the libraries say later may show half a password."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.partition("+")[0] not in schemes:
        return f"must begin with {schemes[0]}://"
    netloc = re.split("[/?#]", rest, maxsplit=1)[0]
    if not (netloc.isascii() and NETLOC.fullmatch(netloc)):
        return (
            "cannot be read after ://. It is user:password@host:port, with what is odd in the "
            "password percent-encoded: @ as %40, / as %2F, # as %23, ? as %3F, : as %3A"
        )
    if scheme.endswith("+sentinel"):
        try:
            read_sentinel_url(url)
        except ValueError as error:
            return str(error)
    return None


def quote_host(host: str) -> str:
    """Of an IPv6 address or a socket's folder, what stands in a URL."""
    return f"[{host}]" if ":" in host else quote(host, safe=",")


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """
    Attributes:
        service: what the Sentinels call the servers of which one is the master.
        username: for these servers; the Sentinels have a password of their own.
    """

    sentinels: list[tuple[str, int]]
    service: str
    db: int
    username: str | None
    password: str | None
    sentinel_password: str | None
    tls: bool


def read_sentinel_url(url: str) -> SentinelUrl:
    """`redis+sentinel://user:password@host:port,host/service/db?sentinel_password=...`

    Raises:
        ValueError: a sentence that says how it is written.
    """
    parts = urlsplit(url)
    user, _, hosts = parts.netloc.rpartition("@")
    username, _, password = user.partition(":")
    service, _, db = parts.path.strip("/").partition("/")
    if not service or not (db or "0").isdecimal():
        raise ValueError("is redis+sentinel://host:port,host:port/service/number-of-the-database")
    asked = parse_qs(parts.query).get("sentinel_password", [None])[0]
    return SentinelUrl(
        sentinels=[split_host(host, SENTINEL_PORT) for host in hosts.split(",")],
        service=unquote(service),
        db=int(db or 0),
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_password=asked,
        tls=parts.scheme.startswith("rediss"),
    )


def split_host(text: str, port: int) -> tuple[str, int]:
    """
    Args:
        port: where none is said.
    """
    host, colon, said = text.rpartition(":")
    if not colon or "]" in said:  # an IPv6 address without a port
        host, said = text, ""
    return unquote(host.strip("[]")), int(said or port)
