"""E-mail addresses: one canonical form for all spellings of a mailbox.

The canonical form identifies the account of an address, in uniqueness checks and in rate limits. It
is only a key: mail goes to the address that the account stores. For the reasons see
docs/explanation/decisions/search-and-mail-addresses.md.
"""

import string
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from unicodedata import normalize

import idna
from email_validator import EmailNotValidError, validate_email

UNUSUAL = r"[^!-@\[-~]|xn--"
"""PostgreSQL regular expression of the keys that `canonical` may change."""

MAX_LOCAL_BYTES = 64  # RFC 5321, section 4.5.3.1.1

_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class Account(NamedTuple):
    """
    Attributes:
        key: its `email_canonical`.
    """

    id: int
    email: str
    is_verified: bool
    key: str


@dataclass(frozen=True, slots=True)
class Plan:
    """
    Attributes:
        changes: accounts whose key changes, with the new key.
        collisions: groups of accounts with the same canonical form; the account that gets it is
            first.
    """

    changes: Sequence[tuple[Account, str]]
    collisions: Sequence[Sequence[Account]]


def canonical(address: str) -> str:
    """Return the canonical form of an address, independent of the database's locale.

    The local part is in NFC (RFC 6532, section 3.1) with folded case; the domain is in the Unicode
    form of UTS 46. Text that is not an address also gets a form, which matches no account.
    """
    address = normalize("NFC", address.strip())
    lower = address.translate(_ASCII_LOWER)
    if lower.isascii() and "xn--" not in lower:
        return lower
    local, at, domain = address.rpartition("@")
    return normalize("NFC", f"{_fold(local)}{at}{_to_unicode(domain)}")


def check_new(typed: str, *, smtputf8: bool) -> str:
    """Return a new address in the form that an account stores: as typed, with Unicode normalized.

    The result has the same canonical form as the typed text, so that the text finds the account.

    Args:
        smtputf8: allow local parts beyond ASCII (RFC 6531).

    Raises:
        ValueError: mail cannot be delivered to the address; the message gives the reason.
    """
    try:
        validated = validate_email(typed.strip(), check_deliverability=False, strict=True)
    except EmailNotValidError as error:
        raise ValueError(f"value is not a valid email address: {error}") from None
    local = validated.local_part
    if not local.isascii():
        if not smtputf8:
            raise ValueError(
                "must contain only ASCII before the @: mail to other addresses cannot be delivered"
            )
        if normalize("NFKC", local) != local:
            raise ValueError("must not contain full-width or similar letters before the @")
        if len(local.encode()) > MAX_LOCAL_BYTES:
            raise ValueError(f"must be at most {MAX_LOCAL_BYTES} bytes long before the @")
    if canonical(validated.normalized) != canonical(typed):
        raise ValueError(f"must be written as {validated.normalized}")
    return validated.normalized


def lookup_keys(typed: str) -> list[str]:
    """Return the values of `users.email_canonical` that may match `typed`, best match first.

    An account whose canonical form belongs to another account keeps its spelling as key
    (`plan_keys`), so the typed spelling precedes the canonical form.
    """
    typed = typed.strip()
    return list(dict.fromkeys((typed, ascii_lower(typed), canonical(typed))))


def ascii_lower(address: str) -> str:
    """Return the same as `lower(address COLLATE "C")` in PostgreSQL."""
    return address.translate(_ASCII_LOWER)


def plan_keys(accounts: Iterable[Account]) -> Plan:
    """Assign each canonical form to one account. Accounts are never merged.

    The current holder keeps it. Otherwise a verified account gets it, then the oldest. The other
    accounts keep their key, so that their own spelling still finds them.

    Args:
        accounts: all accounts whose key may not be canonical, and the current holders of their
            canonical forms.
    """
    groups: defaultdict[str, list[Account]] = defaultdict(list)
    for account in accounts:
        groups[canonical(account.email)].append(account)
    changes: list[tuple[Account, str]] = []
    collisions: list[list[Account]] = []
    for form, group in groups.items():
        group.sort(key=lambda it: (it.key != form, not it.is_verified, it.id))
        if group[0].key != form:
            changes.append((group[0], form))
        if len(group) > 1:
            collisions.append(group)
    return Plan(changes, collisions)


def _fold(text: str) -> str:
    return "".join(map(_fold_character, text))


def _fold_character(character: str) -> str:
    """Fold case, but never to ASCII or to two letters: keep "\u017f" and "\u00df".

    "s" and "ss" are different mailboxes, and one must not take the address of the other.
    """
    folded = character.casefold()
    if len(folded) > 1 or (folded.isascii() and not character.isascii()):
        return character.lower()
    return folded


def _to_unicode(domain: str) -> str:
    try:
        return idna.decode(domain, uts46=True)
    except idna.IDNAError:
        return _fold(domain)
