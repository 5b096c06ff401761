"""The types of settings, with bounds, so that an invalid value fails at start and not later."""

import re
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from plinth.config.urls.origins import check_origin
from plinth.config.urls.postgres_url import read_postgres_url
from plinth.config.urls.public_url import PAGES
from plinth.config.urls.redis_url import read_redis_url
from plinth.rates import check_rate

SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://")
API_PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+")
NO_URL = re.compile(r'[\s"<>\\^`{|}]')  # not allowed in a URL (RFC 3986, section 2)
# A subset of addr-spec (RFC 5322, section 3.4.1): a dot-atom, and a domain or an address literal.
ADDRESS = re.compile(
    r"[^\s<>@,;:()\[\]\"\\]+@(?:\[[0-9A-Fa-f:.]+\]|[^\W_](?:[\w-]*\w)?(?:\.[^\W_](?:[\w-]*\w)?)*)"
)
NAMED_ADDRESS = re.compile(r"[^<>]*<[^<>]+>")
CACHE_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,100}")
HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")


def is_service_link(port: object) -> bool:
    """Return whether the value of a port is a service link of Kubernetes or Docker.

    For a service named redis, they set `REDIS_PORT=tcp://10.0.0.11:6379`.
    """
    return isinstance(port, str) and bool(SERVICE_LINK.match(port))


def _refuse_service_link(value: Any) -> Any:
    if is_service_link(value):
        raise ValueError(
            "is an address, not a port. Kubernetes sets it for a service of this name: set the "
            "port in the container's env, or enableServiceLinks: false in the pod"
        )
    return value


def _check_api_prefix(text: str) -> str:
    if not API_PREFIX.fullmatch(text):
        raise ValueError("must begin with / and must not end with /, such as /api/v1")
    if own := next((page for page in PAGES if f"{text}/".startswith(f"{page}/")), None):
        raise ValueError(f"begins with {own}, which is in use: choose another prefix, such as /api")
    return text


def _check_http_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or NO_URL.search(text):
        raise ValueError("must be a URL with http:// or https://, such as https://example.com")
    return text


def _check_pages_url(text: str) -> str:
    if "@" in urlsplit(text).netloc or "?" in text or "#" in text:
        raise ValueError(
            "must not have a user, a ? or a #, because paths are appended to it: write "
            "https://example.com or https://example.com/path"
        )
    return text


def _check_host(text: str) -> str:
    if text and not HOST.fullmatch(text):  # an empty variable counts as unset
        raise ValueError("must be a host name or an address, without a scheme and without a port")
    return text


def _check_postgres_host(text: str) -> str:
    if not text.startswith("/"):
        for host in text.split(","):
            _check_host(host)
    return text


def _check_postgres_url(url: str) -> str:
    read_postgres_url(url)
    return url


def _check_redis_url(url: str) -> str:
    read_redis_url(url)
    return url


def _check_sender(text: str) -> str:
    address = parseaddr(text)[1]
    is_one = text.strip() == address or NAMED_ADDRESS.fullmatch(text.strip())
    if not is_one or not ADDRESS.fullmatch(address):
        raise ValueError("must be an email address, such as 'Plinth <mail@example.com>'")
    return text


def _check_cache_prefix(text: str) -> str:
    if not CACHE_PREFIX.fullmatch(text):  # the wildcards of SCAN would match other services' keys
        raise ValueError("must be at most 100 letters, digits and . _ : -")
    return text


def _read_network(value: Any) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("must be a network, such as 10.0.0.0/8 or 192.0.2.1/32") from None
    if network.prefixlen == 0:
        raise ValueError(
            "contains all addresses, so that every client could forge its address: list the "
            "networks of your proxies"
        )
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped:
        raise ValueError("is an IPv4-mapped IPv6 network: write it as IPv4, such as 10.0.0.0/8")
    return network


def _check_event_days(days: int) -> int:
    if 0 < days < MIN_EVENT_DAYS:
        raise ValueError(f"must be 0, which keeps events for ever, or at least {MIN_EVENT_DAYS}")
    return days


MIN_EVENT_DAYS = 30  # the database function `prune_events` refuses to delete younger events

# security/passwords.py refuses to verify stored hashes with more.
MAX_MEMORY_KIB, MAX_PASSES = 256 * 1024, 10

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Port = Annotated[int, Field(ge=1, le=65535), BeforeValidator(_refuse_service_link)]
Bytes = Annotated[int, Field(ge=1, le=2**31)]
Milliseconds = Annotated[int, Field(ge=1, le=3_600_000)]
Seconds = Annotated[float, Field(ge=0.001, le=86_400)]
Minutes = Annotated[int, Field(ge=1, le=527_040)]
Hours = Annotated[int, Field(ge=1, le=8_784)]
Days = Annotated[int, Field(ge=1, le=3_660)]
EventDays = Annotated[int, Field(ge=0, le=36_600), AfterValidator(_check_event_days)]

RateText = Annotated[str, AfterValidator(check_rate)]
Host = Annotated[str, AfterValidator(_check_host)]
PostgresHost = Annotated[str, AfterValidator(_check_postgres_host)]
ApiPrefix = Annotated[str, AfterValidator(_check_api_prefix)]
HttpUrl = Annotated[str, AfterValidator(_check_http_url)]
PagesUrl = Annotated[HttpUrl, AfterValidator(_check_pages_url)]
CachePrefix = Annotated[str, AfterValidator(_check_cache_prefix)]
Sender = Annotated[str, AfterValidator(_check_sender)]
Origin = Annotated[str, AfterValidator(check_origin)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_read_network)]

Hidden = Annotated[str, Field(repr=False)]
EarlierKey = Annotated[str, StringConstraints(min_length=32)]  # as find_weakness requires of HS256
PostgresUrlOrNone = Annotated[
    Annotated[str, AfterValidator(_check_postgres_url)] | None, Field(repr=False)
]
RedisUrlOrNone = Annotated[
    Annotated[str, AfterValidator(_check_redis_url)] | None, Field(repr=False)
]
