"""The blocklist for new passwords (NIST SP 800-63B, docs/explanation/passwords.md).

It covers common passwords, passwords derived from data of their owner, and, with
`BREACH_CHECK_URL`, passwords from a breach. `PASSWORD_BLOCKLIST` decides whether they are refused
or only logged. The schemas check length and kinds of characters.
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
# Characters required besides a known word; more if they are only digits and symbols ("2024!").
MIN_REST, MIN_REST_WITHOUT_LETTERS = 5, 6

# "P@ssw0rd" is "password"; a 1 is an i or an l.
AS_LETTERS = [str.maketrans("@4301!$57", f"aaeo{one}isst") for one in "il"]
LEADING, TRAILING = re.compile(r"^[\W\d_]+"), re.compile(r"[\W\d_]+$")
BETWEEN_WORDS = re.compile(r"[\W_]+")


async def check(password: str, *known: str | None, field: str = "password") -> None:
    """Refuse or log a password on the blocklist, depending on `PASSWORD_BLOCKLIST`.

    Call this before hashing and without a database connection: it may take a second.

    Args:
        known: data of the owner, such as e-mail, username and full name.
        field: name of the password's field in the request body.

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
        "default in development; set it to refuse, the default elsewhere, to return a 422",
        reason,
        kind,
    )


async def _find_fault(password: str, known: Sequence[str | None]) -> tuple[str, str] | None:
    """Return the kind and the reason; None if the password is not on the blocklist."""
    if is_common(password):
        return "common", "must not be a common password"
    if is_made_of(password, [*known, settings.PROJECT_NAME]):
        return (
            "personal",
            "must not consist mainly of your name, your e-mail or the name of this service",
        )
    if await breaches.contain(password):
        return (
            "breached",
            "is known from a data breach; choose one that you use nowhere else",
        )
    return None


def is_common(password: str) -> bool:
    """Return whether it is on the list, or a common word with a few digits and symbols."""
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
    """Return whether little is left of the password without the known words."""
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
    """Return the common base words, and the common complete passwords."""
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
    # A sequence such as 1234 or !!!! counts as one character.
    size = sum(
        char.isalpha() or ord(char) - ord(before) not in {0, 1}
        for before, char in zip(f"\0{rest}", rest, strict=False)
    )
    return size < (MIN_REST if any(map(str.isalpha, rest)) else MIN_REST_WITHOUT_LETTERS)


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
