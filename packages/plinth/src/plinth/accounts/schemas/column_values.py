"""The values that a column of users takes, as types of Pydantic: from a file, or from a form."""

import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, NaiveDatetime, StringConstraints
from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    Numeric,
    SmallInteger,
    String,
)
from sqlalchemy.types import TypeEngine

from plinth.resources import fields

FIRST_YEAR, LAST_YEAR = 1970, 9998
HOURS_ALONE = re.compile(r"(?<=:\d\d)([.]\d+)?[+-]\d\d$")


def _complete_zone(given: Any) -> Any:
    """`+00`, as PostgreSQL writes it, is a zone too."""
    return f"{given}:00" if isinstance(given, str) and HOURS_ALONE.search(given) else given


def _require_storable(moment: datetime) -> datetime:
    # The driver takes the first and the last moment that Python has for infinities.
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"must be within the years {FIRST_YEAR} to {LAST_YEAR}")
    return moment


def _refuse_float(given: Any) -> Any:
    """Pydantic would take 1.0 for true; 0 and 1 are what other databases write for a boolean."""
    if isinstance(given, float):
        raise ValueError("must be true or false, t or f, yes or no, 1 or 0")  # noqa: TRY004
    return given


def _refuse_bool(given: Any) -> Any:
    if isinstance(given, bool):
        raise ValueError("must be a number")  # noqa: TRY004
    return given


def _parse_json(given: Any) -> Any:
    """Parse a text, as a cell of CSV holds it."""
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except ValueError:
        raise ValueError("must be JSON") from None


Flag = Annotated[bool, BeforeValidator(_refuse_float)]
Moment = Annotated[
    fields.DateTime, AfterValidator(_require_storable), BeforeValidator(_complete_zone)
]
"""`2024-02-29T12:00:00Z`. A bare number is refused: a year, seconds and milliseconds look alike."""


def value_type(column: Column[Any]) -> Any:
    """Return the type of a column's values, None among them where the column may be null."""
    kind = _find_kind(column.type)
    return kind | None if column.nullable else kind


def _find_kind(kind: TypeEngine[Any]) -> Any:
    for sql_type, make in KINDS:
        if isinstance(kind, sql_type):
            return make(kind)
    try:
        return kind.python_type
    except NotImplementedError:  # of a type that only the driver knows
        return Any


def _make_text(kind: String) -> Any:
    if kind.length is None:
        return fields.Text
    return Annotated[fields.Line, StringConstraints(max_length=kind.length)]


def _make_integer(kind: Integer) -> Any:
    bits = 64 if isinstance(kind, BigInteger) else 16 if isinstance(kind, SmallInteger) else 32
    limit = 2 ** (bits - 1)
    return Annotated[int, Field(ge=-limit, lt=limit), BeforeValidator(_refuse_bool)]


def _make_decimal(kind: Numeric[Any]) -> Any:
    digits = Field(max_digits=kind.precision, decimal_places=kind.scale)
    return Annotated[Decimal, digits, BeforeValidator(_refuse_bool)]


Finite = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_refuse_bool)]
KINDS: Sequence[tuple[type[Any], Callable[[Any], Any]]] = (
    (Enum, lambda kind: kind.enum_class or Literal.__getitem__(tuple(kind.enums))),
    (String, _make_text),
    (Boolean, lambda _: Flag),
    (Integer, _make_integer),
    (Float, lambda _: Finite),
    (Numeric, _make_decimal),
    (DateTime, lambda kind: Moment if kind.timezone else NaiveDatetime),
    (Date, lambda _: fields.Date),
    (JSON, lambda _: Annotated[Any, BeforeValidator(_parse_json)]),
    (ARRAY, lambda _: Annotated[list[Any], BeforeValidator(_parse_json)]),
)
"""The first that fits decides: an `Enum` is a `String`."""
