"""Limits on sign-ins from an unknown device, for every sign-in method."""

from collections.abc import Iterator

from plinth.config import settings
from plinth.limits import Bucket, Reservation, limiter
from plinth.request.client import Client, find_network
from plinth.security.addresses import canonical

SITE_BITS = 48  # the largest IPv6 network of a customer: 65,536 subnets (RFC 6177)


async def reserve_sign_in(email: str, client: Client) -> Reservation:
    """
    Args:
        email: as typed, even if no account has it.

    Raises:
        RateLimited
    """
    account, network = canonical(email), find_network(client)
    return await reserve(
        Bucket.of("login-account-ip", settings.LIMIT_LOGIN_ACCOUNT_IP, account, network),
        Bucket.of("login-account", settings.LIMIT_LOGIN_ACCOUNT, account),
        Bucket.of("login-account-day", settings.LIMIT_LOGIN_ACCOUNT_DAY, account),
        *per_network("login-ip", settings.LIMIT_LOGIN_IP, client),
    )


def per_network(name: str, rate: str, client: Client) -> Iterator[Bucket]:
    """Yield the bucket of the client's network and, for IPv6, a larger one of its site.

    Without the second bucket, a site could multiply its attempts by the number of its subnets.
    """
    network = find_network(client)
    yield Bucket.of(name, rate, network)
    if ":" in network:
        site = Bucket.of(f"{name}-site", rate, find_network(client, SITE_BITS))
        yield site.times(settings.LIMIT_IPV6_SITE_FACTOR)


async def reserve(*buckets: Bucket) -> Reservation:
    """Reserve an attempt, unless `LIMITS_ENABLED` is false.

    Raises:
        RateLimited
    """
    return await limiter.reserve(*(buckets if settings.LIMITS_ENABLED else ()))
