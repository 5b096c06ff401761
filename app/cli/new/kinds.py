"""The types that a field may have, and what each is in a table, in a schema and in a test."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from uuid import UUID

LONGEST_INDEXED = 500
"""Characters. An entry of a B-tree takes 2,704 bytes at the most, and a character up to four."""

BIGGEST = 2**53
"""As app/schemas/fields.py bounds what comes in."""


@dataclass(frozen=True, slots=True)
class Default:
    """
    Attributes:
        python: in a schema.
        sql: in a table.
        json: as an answer shows it.
    """

    python: str
    sql: str
    json: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A type. `{size}` in its texts stands for what follows the type's name in a field.

    Attributes:
        hint: in Python.
        column: the type of the column where a model says it; "" where the hint alone does.
        sa: the type of the column in a migration.
        schema: what comes in.
        default: of what was typed; raises ValueError.
        samples: two different values, as source text of Python for JSON.
        bad: values that are refused, likewise.
        filters: the members of `By`.
        size: of what is left out; "" for a type that takes none.
    """

    hint: str
    column: str
    sa: str
    schema: str
    default: Callable[[str], Default] | None
    samples: tuple[str, str]
    bad: tuple[str, ...]
    filters: tuple[str, ...] = ()
    is_sorted: bool = False
    is_indexed: bool = False
    is_text: bool = False
    size: str = ""


def _quoted(text: str) -> Default:
    if any(ord(char) < ord(" ") for char in text):
        raise ValueError("must be one line")
    literal = "'" + text.replace("'", "''") + "'"
    return Default(json.dumps(text, ensure_ascii=False), literal, json.dumps(text))


def _integer(text: str) -> Default:
    if not re.fullmatch(r"-?[0-9]{1,16}", text) or not -BIGGEST < int(text) < BIGGEST:
        raise ValueError("must be a whole number below 2**53, which JSON carries exactly")
    number = str(int(text))
    return Default(number, f"'{number}'" if number.startswith("-") else number, number)


def _floating(text: str) -> Default:
    if not re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", text):
        raise ValueError("must be a number such as 0.5")
    number = repr(float(text))
    return Default(number, f"'{number}'" if number.startswith("-") else number, number)


def _exact(text: str) -> Default:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError("must be a number such as 9.90") from None
    if not number.is_finite() or "e" in text.lower():
        raise ValueError("must be a number such as 9.90")
    quoted = f"'{number}'" if number < 0 else str(number)
    return Default(f'Decimal("{number}")', quoted, f'"{number}"')


def _truth(text: str) -> Default:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return Default(text.capitalize(), text, text.capitalize())


def _day(text: str) -> Default:
    day = date.fromisoformat(text)
    return Default(f"date({day.year}, {day.month}, {day.day})", f"'{day}'", f'"{day}"')


def _identifier(text: str) -> Default:
    value = UUID(text)
    return Default(f'UUID("{value}")', f"'{value}'", f'"{value}"')


def _document(text: str) -> Default:
    value = json.loads(text)
    if value != {}:
        raise ValueError("must be {}, the only one that a table gives")
    return Default("{}", "'{}'", "{}")


def _moment(text: str) -> Default:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("must have a time zone, as 2026-01-31T09:00:00+00:00")
    utc = moment.astimezone(UTC).replace(microsecond=0)
    parts = f"{utc.year}, {utc.month}, {utc.day}, {utc.hour}, {utc.minute}, {utc.second}"
    return Default(f"datetime({parts}, tzinfo=UTC)", f"'{utc}'", f'"{utc:%Y-%m-%dT%H:%M:%SZ}"')


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "str": Kind(
            hint="str",
            column="String({size})",
            sa="sa.String({size})",
            schema="",
            default=_quoted,
            samples=('"One {column}"', '"Two {column}"'),
            bad=('"x" * ({size} + 1)', r'"a\x00b"', "5"),
            filters=("EQUALS",),
            is_sorted=True,
            is_text=True,
            size="255",
        ),
        "text": Kind(
            hint="str",
            column="Text",
            sa="sa.Text()",
            schema="Text",
            default=_quoted,
            samples=(r'"One {column}\nof two lines"', r'"Two {column}\nof two lines"'),
            bad=(r'"a\x00b"', "5"),
            is_text=True,
        ),
        "int": Kind(
            hint="int",
            column="",
            sa="sa.BigInteger()",
            schema="BigInt",
            default=_integer,
            samples=("3", "5"),
            bad=('"x"', "1.5", "2**63"),
            filters=("EQUALS", "RANGE"),
            is_sorted=True,
        ),
        "float": Kind(
            hint="float",
            column="",
            sa="sa.Float()",
            schema="Finite",
            default=_floating,
            samples=("1.5", "2.5"),
            bad=('"x"', '"NaN"'),
            filters=("RANGE",),
            is_sorted=True,
        ),
        "decimal": Kind(
            hint="Decimal",
            column="Numeric({size})",
            sa="sa.Numeric({size})",
            schema="",
            default=_exact,
            samples=("", ""),
            bad=('"x"', '"NaN"', '"1E+99"'),
            filters=("EQUALS", "RANGE"),
            is_sorted=True,
            size="12,2",
        ),
        "bool": Kind(
            hint="bool",
            column="",
            sa="sa.Boolean()",
            schema="Bool",
            default=_truth,
            samples=("True", "False"),
            bad=('"true"', "1"),
            filters=("EQUALS",),
        ),
        "date": Kind(
            hint="date",
            column="",
            sa="sa.Date()",
            schema="Date",
            default=_day,
            samples=('"2026-03-14"', '"2026-03-15"'),
            bad=('"2026-02-30"', '"tomorrow"'),
            filters=("EQUALS", "RANGE"),
            is_sorted=True,
        ),
        "datetime": Kind(
            hint="datetime",
            column="",
            sa="sa.DateTime(True)",
            schema="DateTime",
            default=_moment,
            samples=('"2026-03-14T09:00:00Z"', '"2026-03-15T09:00:00Z"'),
            bad=('"2026-03-14T09:00:00"', '"now"'),
            filters=("RANGE",),
            is_sorted=True,
        ),
        "uuid": Kind(
            hint="UUID",
            column="",
            sa="sa.Uuid()",
            schema="UUID",
            default=_identifier,
            samples=(
                '"3f0c2f0e-0f5b-4f43-9d62-6a4a37c1a001"',
                '"3f0c2f0e-0f5b-4f43-9d62-6a4a37c1a002"',
            ),
            bad=('"x"', "5"),
            filters=("EQUALS",),
            is_indexed=True,
        ),
        "json": Kind(
            hint="dict[str, Any]",
            column="JSONB",
            sa="postgresql.JSONB()",
            schema="JsonObject",
            default=_document,
            samples=('{{"one": [1, None]}}', '{{"two": "x"}}'),
            bad=('"x"', "[]", r'{{"a": "\x00"}}'),
        ),
        "ref": Kind(
            hint="int",
            column="",
            sa="sa.BigInteger()",
            schema="RowRef",
            default=None,
            samples=("", ""),
            bad=('"x"', "0", "2**63"),
            filters=("EQUALS",),
            is_indexed=True,
        ),
    }
)
