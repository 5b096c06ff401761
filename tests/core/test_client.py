"""Where a request comes from: forwarded headers count only behind a trusted proxy."""

from ipaddress import ip_network
from typing import Any

import pytest

from app.core.client import find_client

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


def scope(peer: str | None, *forwarded: str, agent: bytes = b"") -> dict[str, Any]:
    headers = [(b"x-forwarded-for", line.encode()) for line in forwarded]
    client = (peer, 1) if peer else None
    return {"type": "http", "client": client, "headers": [*headers, (b"user-agent", agent)]}


@pytest.mark.parametrize(
    ("peer", "forwarded", "ip"),
    [
        ("203.0.113.7", (), "203.0.113.7"),
        ("203.0.113.7", ("198.51.100.1",), "203.0.113.7"),  # no proxy: what it says is nothing
        ("10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("10.0.0.1", ("1.2.3.4, 198.51.100.1",), "198.51.100.1"),  # the rest it made up
        ("10.0.0.1", ("1.2.3.4", "198.51.100.1, 10.0.0.2"), "198.51.100.1"),
        ("10.0.0.1", ("10.0.0.3, 10.0.0.2",), "10.0.0.3"),
        ("10.0.0.1", ("nonsense",), "10.0.0.1"),
        ("10.0.0.1", ("1.2.3.4, nonsense",), "10.0.0.1"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("::ffff:10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("fd00::1", ("2001:db8::5",), "2001:db8::5"),
        (None, ("198.51.100.1",), None),
        ("testclient", (), None),
    ],
)
def test_the_last_address_that_is_no_trusted_proxys(
    peer: str | None, forwarded: tuple[str, ...], ip: str | None
) -> None:
    assert find_client(scope(peer, *forwarded), PROXIES).ip == ip


def test_of_a_user_agent_what_can_be_shown_is_kept() -> None:
    found = find_client(scope("203.0.113.7", agent=b"cu\x00rl\r\n\x1b[31m" + b"x" * 300), [])
    assert found.user_agent is not None
    assert found.user_agent.startswith("curl[31mx")
    assert len(found.user_agent) == 255
    assert find_client(scope("203.0.113.7"), []).user_agent is None
