"""Origins in the form that browsers send.

RFC 6454, section 6.2; https://fetch.spec.whatwg.org/#origin-header
"""

import re

from plinth.config.urls.service_urls import MAX_PORT

ANY = "*"
DEFAULT_PORTS = {"http": 80, "https": 443}
WRITTEN = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
    r"(:(?P<port>[0-9]{1,5}))?([/?#].*)?"
)


def check_origin(text: str) -> str:
    """Return an origin, or `*` for all.

    Raises:
        ValueError: no browser sends this origin, or it is not safe to allow.
    """
    if text == ANY:
        return text
    if text == "null":
        raise ValueError("is null, which any sandboxed page sends: list your own origins")
    if "*" in text:
        raise ValueError("is a pattern, which is not supported: list each of them")
    if not text.isascii():
        raise ValueError("has a host that is not ASCII: write its punycode form, xn--...")
    if (origin := normalize(text)) is None:
        raise ValueError("is not an origin: write scheme://host or scheme://host:port")
    if origin != text:
        raise ValueError(f"is not the form that browsers send: write {origin}")
    return text


def normalize(text: str) -> str | None:
    """Return the origin of a URL as browsers send it; None if the text is no URL."""
    if not (match := WRITTEN.fullmatch(text)):
        return None
    scheme = match["scheme"].lower()
    port = int(match["port"]) if match["port"] else DEFAULT_PORTS.get(scheme)
    if port is not None and not 1 <= port <= MAX_PORT:
        return None
    suffix = "" if port == DEFAULT_PORTS.get(scheme) else f":{port}"
    return f"{scheme}://{match['host'].lower()}{suffix}"
