"""The client of a request: forwarded headers count only behind a trusted proxy."""

from ipaddress import ip_network
from typing import Any

import pytest

from plinth.request.client import find_client

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


def scope(peer: str | None, *forwarded: str, agent: bytes = b"") -> dict[str, Any]:
    headers = [(b"x-forwarded-for", line.encode()) for line in forwarded]
    client = (peer, 1) if peer else None
    return {"type": "http", "client": client, "headers": [*headers, (b"user-agent", agent)]}


@pytest.mark.parametrize(
    ("peer", "forwarded", "ip"),
    [
        ("203.0.113.7", (), "203.0.113.7"),
        ("203.0.113.7", ("198.51.100.1",), "203.0.113.7"),  # not a proxy: its headers are ignored
        ("10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("10.0.0.1", ("1.2.3.4, 198.51.100.1",), "198.51.100.1"),  # the client invented the rest
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
def test_client_is_the_last_address_not_of_a_trusted_proxy(
    peer: str | None, forwarded: tuple[str, ...], ip: str | None
) -> None:
    assert find_client(scope(peer, *forwarded), PROXIES).ip == ip


@pytest.mark.parametrize(
    ("hop", "ip"),
    [
        ("198.51.100.1:5678", "198.51.100.1"),  # Azure Application Gateway
        ("198.51.100.1:0", "198.51.100.1"),
        ('"198.51.100.1"', "198.51.100.1"),
        ('"198.51.100.1:5678"', "198.51.100.1"),
        ("198.51.100.1:_port", "198.51.100.1"),  # an obfuscated port (RFC 7239, 6.3)
        ("2001:db8::5", "2001:db8::5"),
        ("2001:DB8:0::5", "2001:db8::5"),
        ("[2001:db8::5]", "2001:db8::5"),
        ("[2001:db8::5]:443", "2001:db8::5"),  # IIS with ARR
        ('"[2001:db8::5]"', "2001:db8::5"),
        ('"[2001:db8::5]:443"', "2001:db8::5"),
        ('"2001:db8::5"', "2001:db8::5"),
        ("[::ffff:198.51.100.1]:443", "198.51.100.1"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("[fe80::1%eth0]:443", "fe80::1"),
        (" \t198.51.100.1:5678\t ", "198.51.100.1"),
        ("198.51.100.1,", "198.51.100.1"),  # an empty element is ignored (RFC 9110, 5.6.1)
        (", ,198.51.100.1 , ", "198.51.100.1"),
    ],
)
def test_each_form_of_an_address_is_parsed(hop: str, ip: str) -> None:
    assert find_client(scope("10.0.0.1", hop), PROXIES).ip == ip
    assert find_client(scope("10.0.0.1", f"1.2.3.4, {hop}"), PROXIES).ip == ip


@pytest.mark.parametrize(
    "hop",
    [
        "unknown",
        "_hidden",
        '"_SEVKISEK"',
        '"',
        '""',
        "198.51.100.1:",
        "198.51.100.1:port",
        "198.51.100.1:123456",
        "198.51.100.1:5:6",
        '"198.51.100.1',
        '198.51.100.1"',
        "[198.51.100.1]",
        "[198.51.100.1]:80",
        "[2001:db8::5",
        "2001:db8::5]",
        "[2001:db8::5]x",
        "[[2001:db8::5]]",
        "[]",
        "[]:443",
        "198.51.100",
        "198.51.100.1.1",
        "198.051.100.001",
        "198.51.100.1 x",
        "x198.51.100.1",
        "198.51.100.1;2.2.2.2",
        "198.51.100.\u0661",
        "for=198.51.100.1",
        "http://198.51.100.1",
        "198.51.100.1/32",
        "[fe80::1%" + "z" * 200 + "]",
    ],
)
def test_invalid_hop_counts_as_the_proxy_that_wrote_it(hop: str) -> None:
    """Never as an address that the client wrote, which would use the bucket of another client."""
    headers = [(b"x-forwarded-for", f"1.2.3.4, {hop}".encode())]
    found = find_client({"type": "http", "client": ("10.0.0.1", 1), "headers": headers}, PROXIES)

    assert found.ip == "10.0.0.1"


def test_forwarded_header_is_ignored() -> None:
    headers = [(b"forwarded", b"for=1.2.3.4"), (b"x-forwarded-for", b"198.51.100.1")]

    found = find_client({"type": "http", "client": ("10.0.0.1", 1), "headers": headers}, PROXIES)

    assert found.ip == "198.51.100.1"


def test_user_agent_keeps_only_printable_characters() -> None:
    found = find_client(scope("203.0.113.7", agent=b"cu\x00rl\r\n\x1b[31m" + b"x" * 300), [])
    assert found.user_agent is not None
    assert found.user_agent.startswith("curl[31mx")
    assert len(found.user_agent) == 255
    assert find_client(scope("203.0.113.7"), []).user_agent is None
