"""Authenticate a request by its API key.

The row of the key is the truth and is read with each request, together with its user. A key reaches
only routes that declare a permission, which its scopes must include.
"""

import hmac
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING, TypeVar

from plinth.accounts.services.authentication import InactiveUser
from plinth.errors import PermissionDenied, Unauthenticated
from plinth.request.client import Client
from plinth.security.api_keys import ApiKeyToken, parse_api_key

if TYPE_CHECKING:
    from plinth.accounts.queries.api_key.principal import KeyColumns

KeyColumnsT = TypeVar("KeyColumnsT", bound="KeyColumns")


class KeyNotAllowed(PermissionDenied):
    """
    Args:
        permission: the one that the key lacks; None if no key reaches the route.
    """

    code = "key_not_allowed"
    detail = "API keys cannot use this route"

    def __init__(self, permission: str | None = None) -> None:
        super().__init__(f"This API key lacks the scope {permission}" if permission else None)
        if permission:
            self.members = {"required_scope": permission}


class NetworkNotAllowed(PermissionDenied):
    code = "network_not_allowed"
    detail = "This API key cannot be used from this address"


def read(text: str) -> ApiKeyToken:
    """
    Raises:
        Unauthenticated: the key is malformed, or of another environment.
    """
    token = parse_api_key(text)
    if token is None:
        raise Unauthenticated
    return token


def check(
    key: KeyColumnsT | None, token: ApiKeyToken, client: Client | None, permission: str | None
) -> KeyColumnsT:
    """Return the key that was read for a token, if it may be used.

    Args:
        client: the client of the request, as the rate limits see it.
        permission: the one that the route declares.

    Raises:
        InactiveUser: the key is valid, but its user is inactive.
        KeyNotAllowed: the route declares no permission, or the key does not have it.
        NetworkNotAllowed
        Unauthenticated: the key is unknown, expired or revoked.
    """
    if key is None or not hmac.compare_digest(key.plinth_key_hash, token.hash):
        raise Unauthenticated
    if not key.plinth_key_is_live:
        raise Unauthenticated
    if not key.is_active:
        raise InactiveUser
    if key.plinth_key_networks and not _is_within(client, key.plinth_key_networks):
        raise NetworkNotAllowed
    if permission is None or permission not in key.plinth_key_scopes:
        raise KeyNotAllowed(permission)
    return key


def _is_within(client: Client | None, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    if client is None or client.ip is None:
        return False
    address = ip_address(client.ip)
    return any(address in network for network in networks)
