"""Parse default values, and write them as source code for schemas, tables and tests."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

MAX_DEFAULT_LENGTH = 60
"""Characters. With a longer text, generated lines would exceed the linter's 100 columns."""

LATIN_EXTENDED = 0x250  # from here on, letters may look like Latin ones

MAX_EXACT_FLOAT = 2**53
"""The bound of input in app/schemas/fields.py."""


@dataclass(frozen=True, slots=True)
class Default:
    """
    Attributes:
        python: source code in a schema.
        server: the text in PostgreSQL's syntax.
        json: source code in a test, in the form of a response.
    """

    python: str
    server: str
    json: str


def quoted(text: str) -> Default:
    if not text.isprintable():
        raise ValueError("must be one line without control characters")
    if len(text) > MAX_DEFAULT_LENGTH:
        raise ValueError(
            f"has more than {MAX_DEFAULT_LENGTH} characters; add it to the generated code by hand"
        )
    source = literal(text)
    return Default(source, text, source)


def integer(text: str) -> Default:
    if (
        not re.fullmatch(r"-?[0-9]{1,16}", text)
        or not -MAX_EXACT_FLOAT < int(text) < MAX_EXACT_FLOAT
    ):
        raise ValueError("must be a whole number below 2**53, which JSON represents exactly")
    number = str(int(text))
    return Default(number, number, number)


def floating(text: str) -> Default:
    if not re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", text):
        raise ValueError("must be a number such as 0.5")
    number = repr(float(text))
    return Default(number, number, number)


def exact(text: str) -> Default:
    if not re.fullmatch(r"-?[0-9]{1,30}(\.[0-9]{1,30})?", text):
        raise ValueError("must be a number such as 9.90")
    return Default(f'Decimal("{text}")', text, f'"{text}"')


def truth(text: str) -> Default:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return Default(text.capitalize(), text, text.capitalize())


def day(text: str) -> Default:
    day = date.fromisoformat(text)
    return Default(f"date({day.year}, {day.month}, {day.day})", f"{day}", f'"{day}"')


def identifier(text: str) -> Default:
    value = UUID(text)
    return Default(f'UUID("{value}")', f"{value}", f'"{value}"')


def document(text: str) -> Default:
    if json.loads(text) != {}:
        raise ValueError("must be {}; add another one to the generated code by hand")
    return Default("{}", "{}", "{}")


def moment(text: str) -> Default:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("must have a time zone, such as 2026-01-31T09:00:00+00:00")
    if moment.microsecond:
        raise ValueError("must be in whole seconds")
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range in UTC") from None
    parts = f"{utc.year}, {utc.month}, {utc.day}, {utc.hour}, {utc.minute}, {utc.second}"
    shown = utc.isoformat().replace("+00:00", "Z")
    return Default(f"datetime({parts}, tzinfo=UTC)", f"{utc}", f'"{shown}"')


def literal(text: str) -> str:
    """Return the source code of a string.

    Outside ASCII, only Latin letters are not escaped. Readers and ruff would confuse other
    characters with similar ones.
    """
    return f'"{"".join(map(_escape, text))}"'


def _escape(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    is_plain = char.isascii() or (char.isalpha() and ord(char) < LATIN_EXTENDED)
    return char if is_plain else ascii(char)[1:-1]
