"""The rules of a new password: its length and kinds of characters."""

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["upper", "lower", "digit", "symbol"]

MAX_LENGTH = 1024
"""The longest password that a sign-in takes."""

KINDS: dict[Kind, str] = {
    "upper": "an upper-case letter",
    "lower": "a lower-case letter",
    "digit": "a digit",
    "symbol": "a character that is neither a letter nor a digit",
}


@dataclass(frozen=True, slots=True)
class PasswordRules:
    """The rules of an application: `Settings.PASSWORD_RULES`. The defaults are the guide's.

    `PASSWORD_BLOCKLIST` decides about common and breached passwords.

    Args:
        min_length: in characters.
        max_length: in characters, at most 1024.
        kinds: the kinds of characters that a password must contain, one of each.

    Raises:
        ValueError: the lengths or a kind make no sense.
    """

    min_length: int = 8
    max_length: int = 100
    kinds: tuple[Kind, ...] = ("upper", "lower", "digit")

    def __post_init__(self) -> None:
        if not max(1, len(self.kinds)) <= self.min_length <= self.max_length <= MAX_LENGTH:
            raise ValueError(
                f"PASSWORD_RULES: min_length={self.min_length} and max_length={self.max_length}"
                f" must be between 1 and {MAX_LENGTH}, in this order, and leave room for each kind"
            )
        if unknown := set(self.kinds) - set(get_args(Kind)):
            raise ValueError(
                f"PASSWORD_RULES: kinds has {sorted(unknown)}; use some of {[*get_args(Kind)]}"
            )

    def check_kinds(self, password: str) -> str:
        """
        Raises:
            ValueError: a kind of characters is missing.
        """
        if not all(any(_is(kind, char) for char in password) for kind in self.kinds):
            raise ValueError(f"must contain {self._list_kinds()}")
        return password

    def describe(self) -> str:
        kinds = f", with {self._list_kinds()}" if self.kinds else ""
        return f"{self.min_length} to {self.max_length} characters{kinds}."

    def _list_kinds(self) -> str:
        *most, last = (KINDS[kind] for kind in self.kinds)
        return f"{', '.join(most)} and {last}" if most else last


def _is(kind: Kind, char: str) -> bool:
    match kind:
        case "upper":
            return char.isupper()
        case "lower":
            return char.islower()
        case "digit":
            return char.isdigit()
        case "symbol":
            return not char.isalnum()
