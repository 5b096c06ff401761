"""Where a request comes from, as far as it can be known."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address

from starlette.datastructures import Headers
from starlette.types import Scope

from app.core.headers import find_header

LONGEST_USER_AGENT = 255
REMEMBERED = 1024  # clients come again

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


def find_client(scope: Scope, trusted: Sequence[Network]) -> Client:
    """
    Args:
        trusted: the proxies whose `X-Forwarded-For` is believed. From anyone else the header is
            what the client likes to say.
    """
    peer = scope["client"][0] if scope.get("client") else None
    if trusted:
        forwarded = Headers(scope=scope).getlist("x-forwarded-for")
        peer = _find_ip(peer, forwarded, trusted)
    user_agent = find_header(scope, b"user-agent") or ""
    return _describe(peer, user_agent[: 2 * LONGEST_USER_AGENT])


@lru_cache(maxsize=REMEMBERED)
def _describe(peer: str | None, user_agent: str) -> Client:
    shown = "".join(char for char in user_agent if char.isprintable())
    return Client(_parse(peer), shown[:LONGEST_USER_AGENT] or None)


def _find_ip(peer: str | None, forwarded: list[str], trusted: Sequence[Network]) -> str | None:
    """The last address, seen from us, that is no trusted proxy's: what stands before it in the
    header came from that address, and can be anything."""
    hops = [hop.strip() for line in forwarded for hop in line.split(",")]
    ip = _parse(peer)
    while hops and ip is not None and any(ip_address(ip) in network for network in trusted):
        before = _parse(hops.pop())
        if before is None:
            break
        ip = before
    return ip


@lru_cache(maxsize=REMEMBERED)
def _parse(text: str | None) -> str | None:
    try:
        address = ip_address(text or "")
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address).partition("%")[0]
