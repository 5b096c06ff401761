"""The URLs of PostgreSQL and Redis, before a library has seen them."""

import re
from urllib.parse import quote

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
    return None


def quote_host(host: str) -> str:
    """Of an IPv6 address or a socket's folder, what stands in a URL."""
    return f"[{host}]" if ":" in host else quote(host, safe=",")
