"""E-mail addresses: one canonical form for all spellings of one mailbox.

The canonical form decides which account an address means, whether it is taken, and which limits
count it. It is a key: mail goes to the address as the account stores it, never to a canonical form.
docs/explanation/decisions/search-and-mail-addresses.md has the reasons.
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
"""Matches, as PostgreSQL's regular expression, each key that `canonical` could have changed."""

MAX_LOCAL_BYTES = 64  # RFC 5321, 4.5.3.1.1

_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class Account(NamedTuple):
    """An account as the plan of canonical forms needs it."""

    id: int
    email: str
    is_verified: bool
    key: str
    """Its `email_canonical`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """
    Attributes:
        changes: the accounts whose key changes, each with the canonical form that becomes its key.
        collisions: the accounts that have one canonical form; its holder comes first.
    """

    changes: Sequence[tuple[Account, str]]
    collisions: Sequence[Sequence[Account]]


def canonical(address: str) -> str:
    """Return the one form of all spellings of an address, whatever the database's locale is.

    The local part is in NFC (RFC 6532, 3.1), without case; the domain is in the Unicode form of
    UTS 46. A text that is no address has a form too: it is compared, and belongs to nobody.
    """
    address = normalize("NFC", address.strip())
    lower = address.translate(_ASCII_LOWER)
    if lower.isascii() and "xn--" not in lower:
        return lower
    local, at, domain = address.rpartition("@")
    return normalize("NFC", f"{_fold(local)}{at}{_to_unicode(domain)}")


def check_new(typed: str, *, smtputf8: bool) -> str:
    """Return a new address as an account stores it: as it was typed, in Unicode's usual forms.

    What is accepted has the canonical form of what was typed, so that the very text finds it again.

    Args:
        smtputf8: mail can be sent to a local part beyond ASCII (RFC 6531).

    Raises:
        ValueError: no mail could arrive there; the text says why.
    """
    try:
        found = validate_email(typed.strip(), check_deliverability=False, strict=True)
    except EmailNotValidError as error:
        raise ValueError(f"value is not a valid email address: {error}") from None
    local = found.local_part
    if not local.isascii():
        if not smtputf8:
            raise ValueError(
                "must not contain letters beyond ASCII before the @: mail cannot be delivered there"
            )
        if normalize("NFKC", local) != local:
            raise ValueError("must not contain full-width or similar letters before the @")
        if len(local.encode()) > MAX_LOCAL_BYTES:
            raise ValueError(f"must be at most {MAX_LOCAL_BYTES} bytes long before the @")
    if canonical(found.normalized) != canonical(typed):
        raise ValueError(f"must be written as {found.normalized}")
    return found.normalized


def lookup_keys(typed: str) -> list[str]:
    """Return the values of `users.email_canonical` that may mean `typed`, the surest first.

    An account whose canonical form belongs to another one is found by its own spelling
    (`plan_keys`), so the spelling as typed comes before the canonical form.
    """
    typed = typed.strip()
    return list(dict.fromkeys((typed, ascii_lower(typed), canonical(typed))))


def ascii_lower(address: str) -> str:
    """Return what `lower(address COLLATE "C")` returns in PostgreSQL."""
    return address.translate(_ASCII_LOWER)


def plan_keys(accounts: Iterable[Account]) -> Plan:
    """Give each canonical form to one account. The others keep their key, by which their own
    spelling still finds them: accounts are never merged.

    The present holder stays. Otherwise, a verified account comes first, then the oldest.

    Args:
        accounts: all whose key is not known to be canonical, and the present holders of their
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
    """Fold case, but never onto ASCII, nor onto two letters: "\u017f" is not "s", "\u00df" no "ss".
    They are different mailboxes, and an account of one must not take the other's address.
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
