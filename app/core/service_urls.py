"""The URLs of PostgreSQL and Redis, before a library has seen them."""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

SENTINEL_PORT = 26379
MAX_PORT = 65535
HOST = r"(\[[0-9A-Fa-f:.%]+\]|[^][:@,]*)(:\d{1,5})?"
NETLOC = re.compile(rf"([^][@]*@)?{HOST}(,{HOST})*")


def find_url_fault(url: str, schemes: tuple[str, ...]) -> str | None:
    """Said without a piece of it: what the libraries say later may show half a password."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.partition("+")[0] not in schemes:
        return f"must begin with {schemes[0]}://"
    netloc = _find_netloc(rest)
    if not (netloc.isascii() and NETLOC.fullmatch(netloc)):
        return (
            "cannot be read after ://. It is user:password@host:port, with what is odd in the "
            "password percent-encoded: @ as %40, / as %2F, # as %23, ? as %3F, : as %3A"
        )
    ports = re.findall(r":(\d+)(?=,|$)", netloc.rpartition("@")[2])
    if any(not 1 <= int(port) <= MAX_PORT for port in ports):
        return f"has a port that is not between 1 and {MAX_PORT}"
    if scheme.endswith("+sentinel"):
        try:
            read_sentinel_url(url)
        except ValueError as error:
            return str(error)
    return None


def quote_host(host: str) -> str:
    """Of an IPv6 address or a socket's folder, what stands in a URL."""
    return f"[{host}]" if ":" in host else quote(host, safe=",")


def split_url(url: str) -> SplitResult:
    """As `urlsplit`, and several hosts may stand in it. Since CVE-2025-0938 was mended (3.11.12,
    3.12.9, 3.13.2) that refuses an IPv6 address after another host."""
    scheme, separator, rest = url.partition("://")
    netloc = _find_netloc(rest)
    return urlsplit(f"{scheme}{separator}{rest.removeprefix(netloc)}")._replace(netloc=netloc)


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
    parts = split_url(url)
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


def _find_netloc(rest: str) -> str:
    """Of what stands after `://` (RFC 3986, 3.2)."""
    return re.split("[/?#]", rest, maxsplit=1)[0]
