"""The URLs of PostgreSQL and Redis, before a library has seen them."""

import re
from urllib.parse import SplitResult, quote, unquote, urlsplit

MAX_PORT = 65535
HOST = r"(\[[0-9A-Fa-f:.%]+\]|[^][:@,]*)(:\d{1,5})?"
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
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
    if "#" in rest:
        return "has a # after the host, which nothing reads: write %23 if it belongs to a value"
    if CONTROL.search(unquote(rest, "latin-1")):
        return "has a control character (%00 to %1F, or %7F), which no value of it may hold"
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
