"""Check and split the URLs of PostgreSQL and Redis before they are passed to a library."""

import re
from urllib.parse import SplitResult, quote, unquote, urlsplit

MAX_PORT = 65535
HOST = r"(\[[0-9A-Fa-f:.%]+\]|[^][:@,]*)(:\d{1,5})?"
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
NETLOC = re.compile(rf"([^][@]*@)?{HOST}(,{HOST})*")


def find_url_fault(url: str, schemes: tuple[str, ...]) -> str | None:
    """Return what is wrong with a URL, without quoting it.

    The errors of the libraries may quote a part of the password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.partition("+")[0] not in schemes:
        return f"must begin with {schemes[0]}://"
    netloc = _find_netloc(rest)
    if not (netloc.isascii() and NETLOC.fullmatch(netloc)):
        return (
            "must have user:password@host:port after ://. Percent-encode special characters in "
            "the password: @ as %40, / as %2F, # as %23, ? as %3F, : as %3A"
        )
    ports = re.findall(r":(\d+)(?=,|$)", netloc.rpartition("@")[2])
    if any(not 1 <= int(port) <= MAX_PORT for port in ports):
        return f"has a port that is not between 1 and {MAX_PORT}"
    if "#" in rest:
        return "has a # after the host, which has no meaning: write %23 if it belongs to a value"
    if CONTROL.search(unquote(rest, "latin-1")):
        return "has a control character (%00 to %1F, or %7F): remove it"
    return None


def quote_host(host: str) -> str:
    """Return a host, an IPv6 address or the folder of a socket in the form of a URL."""
    return f"[{host}]" if ":" in host else quote(host, safe=",")


def split_url(url: str) -> SplitResult:
    """Split a URL that may have several hosts.

    `urlsplit` refuses an IPv6 address after another host since the fix of CVE-2025-0938 (Python
    3.11.12, 3.12.9, 3.13.2).
    """
    scheme, separator, rest = url.partition("://")
    netloc = _find_netloc(rest)
    return urlsplit(f"{scheme}{separator}{rest.removeprefix(netloc)}")._replace(netloc=netloc)


def split_host(text: str, port: int) -> tuple[str, int]:
    """
    Args:
        port: the default port.
    """
    host, colon, written = text.rpartition(":")
    if not colon or "]" in written:  # an IPv6 address without a port
        host, written = text, ""
    return unquote(host.strip("[]")), int(written or port)


def _find_netloc(rest: str) -> str:
    """Return the authority of a URL (RFC 3986, section 3.2), from the text after `://`."""
    return re.split("[/?#]", rest, maxsplit=1)[0]
