"""The cookie by which a device is known."""

import pytest

from app.core import devices
from app.core.devices import ACCOUNTS, recognise, remember

ANN = "ann@example.com"


def test_a_device_is_known_for_the_account_that_signed_in() -> None:
    cookie = remember(None, ANN)
    assert recognise(cookie, ANN)
    assert recognise(cookie, "Ann@Example.com")
    assert not recognise(cookie, "eve@example.com")


def test_a_device_keeps_its_id_and_two_are_two() -> None:
    cookie = remember(None, ANN)
    assert recognise(remember(cookie, ANN), ANN) == recognise(cookie, ANN)
    assert recognise(remember(None, ANN), ANN) != recognise(cookie, ANN)


def test_accounts_can_share_a_browser_up_to_a_number() -> None:
    cookie = None
    people = [f"person{number}@example.com" for number in range(ACCOUNTS + 1)]
    for person in people:
        cookie = remember(cookie, person)
    assert [bool(recognise(cookie, person)) for person in people] == [False] + [True] * ACCOUNTS
    assert cookie is not None
    assert len(remember(cookie, people[-1])) == len(cookie) < 200


def test_signing_in_again_is_remembered_as_the_latest() -> None:
    cookie = remember(remember(None, ANN), "other@example.com")
    cookie = remember(cookie, ANN)
    for number in range(ACCOUNTS - 1):
        cookie = remember(cookie, f"person{number}@example.com")
    assert recognise(cookie, ANN)
    assert not recognise(cookie, "other@example.com")


@pytest.mark.parametrize(
    "cookie", ["", ".", "a.b", "x" * 22, "x" * 22 + "." + "y" * 22, "\u0130" * 22, "x." * 4000]
)
def test_what_we_did_not_make_is_no_device_and_no_error(cookie: str) -> None:
    assert recognise(cookie, ANN) is None
    assert recognise(remember(cookie, ANN), ANN)


def test_each_character_of_a_mark_counts() -> None:
    cookie = remember(None, ANN)
    id_and_mark = range(len(cookie))
    # The last character of 22 carries four bits of sixteen bytes, and two that nothing stands in.
    for place in id_and_mark:
        if cookie[place] != ".":
            other = "A" if cookie[place] != "A" else "B"
            assert not recognise(cookie[:place] + other + cookie[place + 1 :], ANN)


@pytest.mark.parametrize(
    ("theirs", "anns"),
    [("vi\u0307ctim@example.com", "v\u0130ctim@example.com"), ("\u212aim@a.org", "kim@a.org")],
)
def test_a_look_alike_gets_no_mark_that_fits_another(theirs: str, anns: str) -> None:
    assert theirs != anns
    assert not recognise(remember(None, theirs), anns)


def test_it_is_kept_for_a_year() -> None:
    assert devices.SECONDS == 31_536_000
