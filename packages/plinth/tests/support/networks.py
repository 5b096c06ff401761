"""Clients at other network addresses."""

import random
from collections.abc import Callable
from ipaddress import IPv4Address

from httpx2 import AsyncClient

From = Callable[[str], AsyncClient]


def some_ip() -> str:
    """Return an address that no other test uses, because the counts outlive a test."""
    return str(IPv4Address(random.randint(2**24, 2**31)))
