"""The rules of a new password: its length and kinds of characters."""

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["upper", "lower", "digit", "symbol"]

MAX_LENGTH = 1024
"""The maximum length of a password at sign-in, in characters."""

KINDS: dict[Kind, str] = {
    "upper": "an upper-case letter",
    "lower": "a lower-case letter",
    "digit": "a digit",
    "symbol": "a character that is neither a letter nor a digit",
}


@dataclass(frozen=True, slots=True)
class PasswordRules:
    """The rules of an application: `Settings.PASSWORD_RULES`.

    Common and breached passwords depend on `PASSWORD_BLOCKLIST` instead.

    Args:
        min_length: in characters.
        max_length: in characters, at most 1024.
        kinds: kinds of characters; a password must contain at least one of each.

    Raises:
        ValueError: the lengths are inconsistent, or a kind is unknown.
    """

    min_length: int = 8
    max_length: int = 100
    kinds: tuple[Kind, ...] = ("upper", "lower", "digit")

    def __post_init__(self) -> None:
        if not max(1, len(self.kinds)) <= self.min_length <= self.max_length <= MAX_LENGTH:
            raise ValueError(
                f"PASSWORD_RULES: min_length={self.min_length} and max_length={self.max_length}"
                f" must satisfy 1 <= min_length <= max_length <= {MAX_LENGTH}, and min_length must"
                " be at least the number of kinds"
            )
        if unknown := set(self.kinds) - set(get_args(Kind)):
            raise ValueError(
                f"PASSWORD_RULES: unknown kinds {sorted(unknown)}; choose from {[*get_args(Kind)]}"
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
