"""Origins as a browser sends them (RFC 6454, 6.2; https://fetch.spec.whatwg.org/#origin-header)."""

import re

from plinth.config.urls.service_urls import MAX_PORT

ANY = "*"
DEFAULT_PORTS = {"http": 80, "https": 443}
WRITTEN = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
    r"(:(?P<port>[0-9]{1,5}))?([/?#].*)?"
)


def check_origin(text: str) -> str:
    """Return `text`, or `*`, which stands for every origin.

    Raises:
        ValueError: no browser sends that, so it would allow nobody; or it would allow everybody.
    """
    if text == ANY:
        return text
    if text == "null":
        raise ValueError("is null, which any sandboxed page sends: list your own origins")
    if "*" in text:
        raise ValueError("is a pattern, and origins are compared as a whole: list each of them")
    if not text.isascii():
        raise ValueError("has a host that browsers send in ASCII: write its punycode form, xn--...")
    if (origin := _find_origin(text)) is None:
        raise ValueError("is not an origin: write scheme://host or scheme://host:port")
    if origin != text:
        raise ValueError(f"is not what a browser sends: write {origin}")
    return text


def _find_origin(text: str) -> str | None:
    if not (found := WRITTEN.fullmatch(text)):
        return None
    scheme = found["scheme"].lower()
    port = int(found["port"]) if found["port"] else DEFAULT_PORTS.get(scheme)
    if port is not None and not 1 <= port <= MAX_PORT:
        return None
    written_port = "" if port == DEFAULT_PORTS.get(scheme) else f":{port}"
    return f"{scheme}://{found['host'].lower()}{written_port}"
