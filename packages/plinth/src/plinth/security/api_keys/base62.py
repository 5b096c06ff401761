"""Non-negative numbers as digits and ASCII letters, in texts of a fixed length."""

import string

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_VALUES = {char: value for value, char in enumerate(ALPHABET)}


def encode(number: int, length: int) -> str:
    """Return the number in base 62, padded with zeros.

    Raises:
        OverflowError: it has more digits than `length`.
    """
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    if number:
        raise OverflowError(f"the number has more than {length} digits in base 62")
    return "".join(reversed(digits))


def decode(text: str) -> int:
    """Return the number of a text of digits and ASCII letters."""
    number = 0
    for char in text:
        number = number * 62 + _VALUES[char]
    return number
