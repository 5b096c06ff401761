"""The blocklist for new passwords (NIST SP 800-63B): common ones, those made of what is known of
their owner, and, with `BREACH_CHECK_URL`, those from a breach. `PASSWORD_BLOCKLIST` decides whether
such a password is refused or only logged.

docs/explanation/passwords.md has the rules. The schemas check length and kinds of characters.
"""

import gzip
import logging
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from plinth.config import settings
from plinth.errors import InvalidField
from plinth.security import breaches

logger = logging.getLogger(__name__)

COMMON = Path(__file__).with_name("data") / "common_passwords.txt.gz"

MIN_WORD_LENGTH = 4
# How much there must be beside a word; more of it where it is digits and signs alone ("2024!").
LEAST, LEAST_WITHOUT_LETTERS = 5, 6

# "P@ssw0rd" is "password"; a 1 is an i or an l.
AS_LETTERS = [str.maketrans("@4301!$57", f"aaeo{one}isst") for one in "il"]
LEADING, TRAILING = re.compile(r"^[\W\d_]+"), re.compile(r"[\W\d_]+$")
BETWEEN_WORDS = re.compile(r"[\W_]+")


async def check(password: str, *known: str | None, field: str = "password") -> None:
    """Refuse a password that the blocklist covers, or only log it, as `PASSWORD_BLOCKLIST` says.

    Call it before the password is hashed, with no connection held: it may take a second.

    Args:
        known: what is known of the owner, such as e-mail, username and full name.
        field: where the password stands in the request's body.

    Raises:
        InvalidField
    """
    mode = settings.password_blocklist
    if mode == "off" or (fault := await _find_fault(password, known)) is None:
        return
    kind, reason = fault
    if mode == "refuse":
        raise InvalidField(field, reason, kind=f"password_{kind}")
    logger.warning(
        "accepted a new password although it %s (password_%s): PASSWORD_BLOCKLIST is warn, the "
        "default in development; with refuse, the default elsewhere, it is a 422",
        reason,
        kind,
    )


async def _find_fault(password: str, known: Sequence[str | None]) -> tuple[str, str] | None:
    """Return the kind and the reason, or None for a password that the blocklist does not cover."""
    if is_common(password):
        return "common", "must not be one that everyone tries first"
    if is_made_of(password, [*known, settings.PROJECT_NAME]):
        return (
            "personal",
            "must be more than your name, your e-mail or this service's with a few characters",
        )
    if await breaches.contain(password):
        return (
            "breached",
            "is known from a breach of some service; choose one that you use nowhere else",
        )
    return None


def is_common(password: str) -> bool:
    """It stands on the list, or is a common word with a few digits and signs around it."""
    words, whole = load_common()
    text = _fold(password)
    if text in whole:
        return True
    without_tail = TRAILING.sub("", text)
    return any(
        _is_little(text.replace(core, "", 1))
        and any(spelling in words for spelling in _spellings(core))
        for core in (without_tail, LEADING.sub("", without_tail))
        if core
    )


def is_made_of(password: str, known: Iterable[str | None]) -> bool:
    """Little is left of it once the words that are known are taken out."""
    words = {word for text in known if text for word in _words_of(text)}
    longest_first = sorted(words, key=len, reverse=True)
    for text in _spellings(_fold(password)):
        rest = text
        for word in longest_first:
            rest = rest.replace(word, "")
        if rest != text and _is_little(rest):
            return True
    return False


@cache
def load_common() -> tuple[frozenset[str], frozenset[str]]:
    """The words that people decorate, and the passwords that are common as they are."""
    text = gzip.decompress(COMMON.read_bytes()).decode()
    words, _, whole = text.partition("\n\n")
    return frozenset(words.split("\n")), frozenset(whole.split("\n"))


def _words_of(known: str) -> set[str]:
    text = _fold(known)
    wholes = {text, *text.split("@")}
    joined = {BETWEEN_WORDS.sub("", whole) for whole in wholes}
    found = {*wholes, *joined, *BETWEEN_WORDS.split(text)}
    return {word for word in found if len(word) >= MIN_WORD_LENGTH}


def _spellings(text: str) -> list[str]:
    return [text, *(text.translate(table) for table in AS_LETTERS)]


def _is_little(rest: str) -> bool:
    # A run such as 1234 or !!!! counts as one.
    size = sum(
        char.isalpha() or ord(char) - ord(before) not in {0, 1}
        for before, char in zip(f"\0{rest}", rest, strict=False)
    )
    return size < (LEAST if any(map(str.isalpha, rest)) else LEAST_WITHOUT_LETTERS)


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
