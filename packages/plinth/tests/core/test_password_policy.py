"""Passwords that are refused as easily guessed, and passwords that must be accepted."""

import pytest

from plinth.config import settings
from plinth.errors import InvalidField
from plinth.security import password_policy
from plinth.security.password_policy import is_common, is_made_of, load_common
from plinth.testing.people import PASSWORD

ADA = ("ada.lovelace+x@mail.engine-works.example", "countess", "Ada King Lovelace")


def wide(text: str) -> str:
    """In full-width letters, as a Japanese keyboard may type them."""
    return "".join(chr(ord(char) + 0xFEE0) for char in text)


def test_common_password_list_is_complete() -> None:
    words, whole = load_common()
    assert (len(words), len(whole)) == (1522, 16282)
    for text in words | whole:
        assert text == text.strip().lower()
        assert text
    assert min(map(len, words)) == 4
    assert min(map(len, whole)) == 8


def test_common_passwords_are_refused_in_any_case() -> None:
    _, whole = load_common()
    passed = [text for text in whole if not (is_common(text.upper()) and is_common(text.title()))]
    assert passed == []


@pytest.mark.parametrize("tail", ["1", "12", "123!", "!", "2026", "2026!", "1234567", "!!!!!!!!"])
def test_common_word_with_a_suffix_is_refused(tail: str) -> None:
    passed = [word for word in load_common()[0] if not is_common(word.capitalize() + tail)]
    assert passed == []


@pytest.mark.parametrize(
    "password",
    [
        "Password1",
        "PASSWORd1",
        "Qwerty123!",
        "P@ssw0rd1",
        "P@$$w0rd2026",
        "Passw0rd!!",
        "We1come12",
        "We1come99",
        "1Qaz2wsx",
        "Trustno1",
        "Summer2026!",
        "123Welcome",
        "!!Monkey77!!",
        "Iloveyou123456789",
        wide("Password1"),
        "Pa\u017f\u017fword1",  # with a long s
    ],
)
def test_variants_of_a_common_word_are_refused(password: str) -> None:
    assert is_common(password)


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "Other-Horse-8",
        "correct horse battery staple 9A",
        "My dog has 4 legs",
        "Monkey-see-monkey-do-4",
        "Password-less-is-the-future-1",
        "Dragon!93-27.55-18",
        "7hYk-Wq2-zzP",
        "Aa345678",
        "TestPass123",
        "SecurePass123!",
        "Ünï9 中文 pass",
        "Пароль-мой-7Я",
        "12345678-Aa-12345678",
    ],
)
def test_password_that_is_hard_to_guess_is_accepted(password: str) -> None:
    assert not is_common(password)
    assert not is_made_of(password, [*ADA, "MyApp"])


@pytest.mark.parametrize(
    "password",
    [
        "Lovelace1",
        "LOVELACE-99",
        "AdaKingLovelace9",
        "ada.lovelace+X1",
        "AdaLovelaceX1",
        "Countess2026!",
        "Count3ss!",
        "C0untess99",
        "1234Countess",
        "CountessCountess1",
        "CountessLovelace77",
        "EngineWorks5",
        "Engine-Works5",
        "Works1234567890",
        wide("Countess1"),
        "Mail.Engine-Works.Example1",
        "MyApp2026",
    ],
)
def test_password_built_from_personal_data_is_refused(password: str) -> None:
    assert is_made_of(password, [*ADA, "MyApp"])


@pytest.mark.parametrize(
    "password",
    [
        "Ada-Zebra-7",  # three letters do not count as a word
        "King-Kong-Climbs-7",
        "Countess-of-nowhere-3",
        "My-Lovelace-Poem-4",
        "Engine-Trouble-3",
    ],
)
def test_longer_password_that_contains_a_name_is_accepted(password: str) -> None:
    assert not is_made_of(password, [*ADA, "MyApp"])


def test_empty_personal_data_refuses_nothing() -> None:
    assert not is_made_of("Countess1", [None, "", " ", "ab", "@", "...", "a@b"])


@pytest.mark.parametrize("known", ["a" * 255, ".".join("abcd" * 50), "💥" * 100, "\u0301" * 200])
def test_unusual_names_refuse_nothing(known: str) -> None:
    assert not is_made_of(PASSWORD, [known])
    assert not is_made_of("💥" * 25 + PASSWORD, ["x"])


async def test_refusal_has_the_field_and_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "PROJECT_NAME", "Wharfinger")
    for password, kind in (("Password1", "common"), ("Wharfinger1", "personal")):
        with pytest.raises(InvalidField) as refused:
            await password_policy.check(password, "a@b.example", None, field="new_password")
        assert (refused.value.field, refused.value.kind) == ("new_password", f"password_{kind}")
        assert str(refused.value).startswith("new_password must ")
        assert password not in str(refused.value)
    await password_policy.check(PASSWORD, None)
