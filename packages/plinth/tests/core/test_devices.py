"""The cookie of a known device."""

import pytest

from plinth.security import devices
from plinth.security.devices import MAX_ACCOUNTS, Account, remember

EMAIL = "ann@example.com"
ANN, EVE = Account(1, 0), Account(2, 0)


def recognize(cookie: str | None, account: Account, email: str = EMAIL) -> str | None:
    return devices.recognize_device(cookie, account, email=email)


def test_device_is_recognized_for_the_account_that_signed_in() -> None:
    cookie = remember(None, ANN)
    assert recognize(cookie, ANN)
    assert recognize(cookie, ANN, "another spelling of it")
    assert not recognize(cookie, EVE)


@pytest.mark.parametrize("epoch", [0, 1, 41, 43])
def test_credential_change_voids_the_device(epoch: int) -> None:
    cookie = remember(None, Account(1, 42))
    assert recognize(cookie, Account(1, 42))
    assert not recognize(cookie, Account(1, epoch))


def test_user_id_and_epoch_are_not_ambiguous() -> None:
    assert not recognize(remember(None, Account(1, 11)), Account(11, 1))
    assert not recognize(remember(None, Account(11, 1)), Account(1, 11))


def test_device_keeps_its_id() -> None:
    cookie = remember(None, ANN)
    assert recognize(remember(cookie, ANN), ANN) == recognize(cookie, ANN)
    assert recognize(remember(None, ANN), ANN) != recognize(cookie, ANN)


def test_cookie_holds_at_most_max_accounts() -> None:
    cookie = None
    people = [Account(number, 3) for number in range(MAX_ACCOUNTS + 1)]
    for person in people:
        cookie = remember(cookie, person)
    assert [bool(recognize(cookie, person)) for person in people] == [False] + [True] * MAX_ACCOUNTS
    assert cookie is not None
    assert len(remember(cookie, people[-1])) == len(cookie) < 200


def test_sign_in_again_moves_the_account_to_the_end() -> None:
    cookie = remember(remember(None, ANN), EVE)
    cookie = remember(cookie, ANN)
    for number in range(MAX_ACCOUNTS - 1):
        cookie = remember(cookie, Account(number + 10, 0))
    assert recognize(cookie, ANN)
    assert not recognize(cookie, EVE)


@pytest.mark.parametrize(
    "cookie", ["", ".", "a.b", "x" * 22, "x" * 22 + "." + "y" * 22, "\u0130" * 22, "x." * 4000]
)
def test_malformed_cookie_is_no_device_and_no_error(cookie: str) -> None:
    assert recognize(cookie, ANN) is None
    assert recognize(remember(cookie, ANN), ANN)


def test_changed_character_invalidates_the_cookie() -> None:
    cookie = remember(None, ANN)
    id_and_mark = range(len(cookie))
    # The last character of 22 carries four bits of sixteen bytes, and two unused bits.
    for place in id_and_mark:
        if cookie[place] != ".":
            other = "A" if cookie[place] != "A" else "B"
            assert not recognize(cookie[:place] + other + cookie[place + 1 :], ANN)


def make_earlier_cookie(email: str) -> str:
    """Return a cookie in the format of the previous release."""
    device = "d" * 22
    return f"{device}.{devices._sign_email(device, email)}"  # noqa: SLF001


def test_cookie_of_an_earlier_release_is_valid_until_a_credential_change() -> None:
    cookie = make_earlier_cookie(EMAIL)
    assert recognize(cookie, ANN)
    assert recognize(cookie, ANN, "Ann@Example.com")
    assert not recognize(cookie, ANN, "eve@example.com")
    assert not recognize(cookie, Account(1, 1))


@pytest.mark.parametrize(
    ("theirs", "anns"),
    [("vi\u0307ctim@example.com", "v\u0130ctim@example.com"), ("\u212aim@a.org", "kim@a.org")],
)
def test_earlier_cookie_of_a_lookalike_email_is_not_accepted(theirs: str, anns: str) -> None:
    assert theirs != anns
    assert not recognize(make_earlier_cookie(theirs), ANN, anns)


def test_cookie_lifetime_is_one_year() -> None:
    assert devices.SECONDS == 31_536_000
