"""Where a request comes from, as far as it can be known."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.datastructures import Headers
from starlette.types import Scope

from plinth.request.headers import find_header

MAX_USER_AGENT_LENGTH = 255
SUBNET_BITS = 64  # of an IPv6 address: the least that one customer has to itself
UNKNOWN = "unknown"
MAX_CACHED_CLIENTS = 1024  # clients come again
MAX_HOP_LENGTH = 100  # an IPv6 address with a zone, a port, brackets and quotes is shorter

# A node as RFC 7239, section 6 writes it, which Azure and IIS use in X-Forwarded-For too: an
# address with or without a port, an IPv6 address in brackets, the whole perhaps in quotes.
HOP = re.compile(
    r"""(?P<quote>"?)(?:\[(?P<v6>[^\[\]"]+)\]|(?P<v4>[0-9.]+))"""
    r"""(?::(?:[0-9]{1,5}|_[\w.-]+))?(?P=quote)""",
    re.ASCII,
)

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Client:
    """
    Attributes:
        ip: an address, or None where there is none (a Unix socket).
        user_agent: what can be shown and stored of it.
    """

    ip: str | None
    user_agent: str | None


def find_network(client: Client, bits: int = SUBNET_BITS) -> str:
    """Return the client's IPv4 address, or the network of an IPv6 one that has so many bits."""
    if client.ip is None:
        return UNKNOWN
    address = ip_address(client.ip)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, bits), strict=False))
    return str(address)


def find_client(scope: Scope, trusted: Sequence[Network]) -> Client:
    """Return the client of a request.

    `Forwarded` (RFC 7239) is not read: a client could send the one of the two headers that its
    proxy does not set.

    Args:
        trusted: the proxies whose `X-Forwarded-For` is believed. From any other peer the header is
            the client's own text.
    """
    peer = scope["client"][0] if scope.get("client") else None
    if trusted:
        forwarded = Headers(scope=scope).getlist("x-forwarded-for")
        peer = _find_ip(peer, forwarded, trusted)
    user_agent = find_header(scope, b"user-agent") or ""
    return _describe(peer, user_agent[: 2 * MAX_USER_AGENT_LENGTH])


@lru_cache(maxsize=MAX_CACHED_CLIENTS)
def _describe(peer: str | None, user_agent: str) -> Client:
    shown = "".join(char for char in user_agent if char.isprintable())
    return Client(_parse(peer), shown[:MAX_USER_AGENT_LENGTH] or None)


def _find_ip(peer: str | None, forwarded: list[str], trusted: Sequence[Network]) -> str | None:
    """Return the last address, seen from us, that is no trusted proxy's.

    The text before it in the header came from that address and can be anything. A hop that is no
    address (`unknown`, `_hidden`, garbage) ends the search at the proxy that wrote it.
    """
    hops = [hop for line in forwarded for hop in map(str.strip, line.split(",")) if hop]
    ip = _parse(peer)
    while hops and ip is not None and any(ip_address(ip) in network for network in trusted):
        before = _parse_hop(hops.pop())
        if before is None:
            break
        ip = before
    return ip


def _parse_hop(text: str) -> str | None:
    if len(text) > MAX_HOP_LENGTH:
        return None
    if ip := _parse(text):
        return ip
    found = HOP.fullmatch(text)
    if found is None:
        return _parse(text[1:-1]) if text[:1] == text[-1:] == '"' else None
    if found["v6"] and ":" not in found["v6"]:
        return None  # brackets are for IPv6 alone
    return _parse(found["v6"] or found["v4"])


@lru_cache(maxsize=MAX_CACHED_CLIENTS)
def _parse(text: str | None) -> str | None:
    try:
        address = ip_address(text or "")
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address).partition("%")[0]
