"""The canonical form of an address, and its owner if several accounts have the same one."""

from itertools import permutations
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plinth.security.addresses import Account, canonical, lookup_keys, plan_keys


def wide(text: str) -> str:
    """In full-width letters, as a Japanese keyboard writes them."""
    return "".join(chr(ord(letter) + 0xFEE0) for letter in text)


SAME = [
    ["ann@example.com", "ANN@EXAMPLE.COM", " ann@example.com ", "\u3000ann@example.com"],
    ["ann@example.com", f"ann@{wide('example')}.com", f"ann@{wide('EXAMPLE.COM')}"],
    ["ann@example.com", "ann@example\u3002com"],
    ["ann@bücher.example", "ann@BÜCHER.example", "ann@xn--bcher-kva.example"],
    ["ann@bücher.example", "ann@XN--BCHER-KVA.example", normalize("NFD", "ann@bücher.example")],
    ["änn@example.com", "ÄNN@example.com", normalize("NFD", "Änn@example.com")],
    ["οδοσ@example.gr", "ΟΔΟΣ@example.gr", "οδος@example.gr"],
    ["\u1fb3@example.gr", "\u03b1\u0345@example.gr"],  # case folding changes the second mark
    ["\u01f0@example.com", "J\u030c@example.com"],  # only the lower-case letter has a composed form
    ["kelvin@example.com", "\u212aelvin@example.com"],  # in NFC the Kelvin sign is a K
]
DIFFERENT = [
    "victim@example.com",
    "v\u0130ctim@example.com",  # capital i with dot above: `lower` of many a locale makes it "i"
    "v\u0131ctim@example.com",  # dotless i
    "vi\u0301ctim@example.com",
    "victim@example.com.",
    "\uff56ictim@example.com",
    "vict\u0456m@example.com",  # Cyrillic
    "victim+tag@example.com",
    "vic.tim@example.com",
    "gross@example.com",
    "groß@example.com",
    "gro\u017fs@example.com",
    "gross@gross.example",
    "gross@groß.example",
]


@pytest.mark.parametrize("spellings", SAME, ids=lambda spellings: spellings[0])
def test_spellings_of_one_mailbox_have_one_canonical_form(spellings: list[str]) -> None:
    assert {canonical(spelling) for spelling in spellings} == {spellings[0]}


def test_different_mailboxes_have_different_canonical_forms() -> None:
    assert len({canonical(address) for address in DIFFERENT}) == len(DIFFERENT)


def test_canonical_maps_no_letter_to_ascii() -> None:
    """Otherwise the owner of such an address would block the registration of the ASCII one."""
    for number in range(0x80, 0x110000):
        letter = normalize("NFC", chr(number))
        if letter.isascii() or letter in {letter.casefold(), letter.lower()}:
            continue  # canonically equivalent, so the same address (RFC 6532, 3.1); or not folded
        assert not canonical(f"a{letter}b@example.com").isascii(), hex(number)


@pytest.mark.parametrize("address", ["", "@", "ann", "a@b@c", "ann@", "ä@", "ä@..", "@ä", "ä@_b.c"])
def test_malformed_address_has_a_canonical_form(address: str) -> None:
    assert canonical(canonical(address)) == canonical(address)


@given(st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=500, deadline=None)
def test_canonical_is_idempotent(local: str, domain: str) -> None:
    form = canonical(f"{local}@{domain}")
    assert canonical(form) == form


def test_lookup_tries_the_address_as_typed_first() -> None:
    assert lookup_keys(" ÄNN@Example.com ") == [
        "ÄNN@Example.com",
        "Änn@example.com",
        "änn@example.com",
    ]
    assert lookup_keys("ann@example.com") == ["ann@example.com"]


def test_colliding_key_goes_to_the_verified_or_oldest_account() -> None:
    accounts = [
        Account(1, "Änn@example.com", False, "Änn@example.com"),
        Account(2, "ÄNN@example.com", True, "Änn@example.com"),
        Account(3, "äNN@example.com", True, "änn@example.com"),
        Account(4, "bo@bücher.example", False, "bo@bücher.example"),
        Account(5, "bo@xn--bcher-kva.example", True, "bo@xn--bcher-kva.example"),
        Account(6, "Cä@example.com", False, "CÄ@example.com"),
    ]
    for order in permutations(accounts):
        plan = plan_keys(order)
        assert plan.changes == [(accounts[5], "cä@example.com")]
        ids = [[account.id for account in group] for group in plan.collisions]
        assert sorted(ids) == [[3, 2, 1], [4, 5]]
    assert plan_keys(accounts[:2]).changes == [(accounts[1], "änn@example.com")]
