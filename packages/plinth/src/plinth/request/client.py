"""The client of a request: IP address, network and user agent."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.datastructures import Headers
from starlette.types import Scope

from plinth.request.headers import find_header

MAX_USER_AGENT_LENGTH = 255
SUBNET_BITS = 64  # the smallest IPv6 network that a customer gets
UNKNOWN = "unknown"
MAX_CACHED_CLIENTS = 1024
MAX_HOP_LENGTH = 100  # an IPv6 address with a zone, a port, brackets and quotes is shorter

# A node of RFC 7239, section 6, which Azure and IIS also use in X-Forwarded-For: an address with an
# optional port, IPv6 addresses in brackets, optionally all in quotes.
HOP = re.compile(
    r"""(?P<quote>"?)(?:\[(?P<v6>[^\[\]"]+)\]|(?P<v4>[0-9.]+))"""
    r"""(?::(?:[0-9]{1,5}|_[\w.-]+))?(?P=quote)""",
    re.ASCII,
)

# The first match wins. Browsers also name the browsers they derive from, so newer ones come first.
BROWSERS = (
    ("Edge", r"Edg(?:e|A|iOS)?/"),
    ("Opera", r"OPR/|Opera"),
    ("Samsung Internet", r"SamsungBrowser/"),
    ("Firefox", r"Firefox/|FxiOS/"),
    ("Chrome", r"Chrome/|CriOS/"),
    ("Safari", r"Safari/"),
)
SYSTEMS = (
    ("iPhone", r"iPhone"),
    ("iPad", r"iPad"),
    ("Android", r"Android"),
    ("Windows", r"Windows"),
    ("macOS", r"Mac OS X|Macintosh"),
    ("ChromeOS", r"CrOS"),
    ("Linux", r"Linux"),
)

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Client:
    """
    Attributes:
        ip: None for a Unix socket.
        user_agent: its printable characters, shortened.
    """

    ip: str | None
    user_agent: str | None


def find_network(client: Client, bits: int = SUBNET_BITS) -> str:
    """Return the IPv4 address of the client, or its IPv6 network of `bits` bits."""
    if client.ip is None:
        return UNKNOWN
    address = ip_address(client.ip)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, bits), strict=False))
    return str(address)


def find_client(scope: Scope, trusted: Sequence[Network]) -> Client:
    """Return the client of a request.

    `Forwarded` (RFC 7239) is ignored: a client could send whichever of the two headers its proxy
    does not set.

    Args:
        trusted: the proxies whose `X-Forwarded-For` is trusted. Any other peer could invent it.
    """
    peer = scope["client"][0] if scope.get("client") else None
    if trusted:
        forwarded = Headers(scope=scope).getlist("x-forwarded-for")
        peer = _find_ip(peer, forwarded, trusted)
    user_agent = find_header(scope, b"user-agent") or ""
    return _describe(peer, user_agent[: 2 * MAX_USER_AGENT_LENGTH])


@lru_cache(maxsize=MAX_CACHED_CLIENTS)
def _describe(peer: str | None, user_agent: str) -> Client:
    printable = "".join(char for char in user_agent if char.isprintable())
    return Client(_parse(peer), printable[:MAX_USER_AGENT_LENGTH] or None)


def _find_ip(peer: str | None, forwarded: list[str], trusted: Sequence[Network]) -> str | None:
    """Return the last address that is not one of a trusted proxy.

    Everything before it in the header came from that address, so it is not trusted. A hop without
    an address (`unknown`, `_hidden`, garbage) ends the search at the proxy that wrote it.
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
    match = HOP.fullmatch(text)
    if match is None:
        return _parse(text[1:-1]) if text[:1] == text[-1:] == '"' else None
    if match["v6"] and ":" not in match["v6"]:
        return None  # brackets are only for IPv6
    return _parse(match["v6"] or match["v4"])


@lru_cache(maxsize=MAX_CACHED_CLIENTS)
def _parse(text: str | None) -> str | None:
    try:
        address = ip_address(text or "")
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address).partition("%")[0]


def describe_device(user_agent: str | None) -> str:
    """Return a name for display: "Firefox on Linux", or "curl" for `curl/8.5.0`.

    A user agent can claim anything, so base no decision on it.
    """
    if not user_agent:
        return "Unknown device"
    browser, system = _find_name(BROWSERS, user_agent), _find_name(SYSTEMS, user_agent)
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or user_agent.split("/")[0].strip()[:50] or "Unknown device"


def _find_name(patterns: tuple[tuple[str, str], ...], user_agent: str) -> str | None:
    return next((name for name, pattern in patterns if re.search(pattern, user_agent)), None)
