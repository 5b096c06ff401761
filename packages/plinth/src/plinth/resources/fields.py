"""Types of schema fields. They reject values that PostgreSQL or a log line cannot hold."""

import re
from datetime import UTC, date, datetime
from decimal import MAX_PREC, Context, Decimal
from math import isfinite
from typing import Annotated, Any, get_args
from unicodedata import combining, normalize

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    PlainSerializer,
    StringConstraints,
)
from pydantic_core import core_schema

from plinth.config import settings
from plinth.security import addresses

# asyncpg sends these as -infinity and infinity, and reads them back without an offset.
_FIRST_MOMENT = datetime.min.replace(tzinfo=UTC)
_LAST_MOMENT = datetime.max.replace(tzinfo=UTC)

MAX_ID = 2**63 - 1
MAX_JSON_DEPTH = 20
MAX_MARKS = 30  # consecutive combining marks: Stream-Safe Text Format (UAX 15, D4)

# Control characters, line and paragraph separators, surrogates. A regular expression, since these
# are checked before the length: `unicodedata.category` takes 15 times longer for a megabyte.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_HARMFUL_IN_JSON = re.compile("[\x00\ud800-\udfff]")
_HARMFUL_IN_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def _refuse_control(text: str) -> str:
    if _HARMFUL.search(text):
        raise ValueError("must not contain control characters or lone surrogates")
    return text


def to_nfc(text: str) -> str:
    """Normalize the text to NFC, so that equal words from different keyboards compare equal.

    Raises:
        ValueError: more than `MAX_MARKS` consecutive marks; sorting them takes quadratic time.
    """
    if text.isascii():
        return text
    marks = "".join(filter(combining, set(text)))
    if marks and any(len(run) > MAX_MARKS for run in re.findall(f"[{marks}]+", text)):
        raise ValueError(f"must not contain more than {MAX_MARKS} combining marks in a row")
    return normalize("NFC", text)


def _check_new_address(text: str) -> str:
    return addresses.check_new(text, smtputf8=settings.SMTP_UTF8)


def _refuse_surrogate(text: str) -> str:
    if re.search("[\ud800-\udfff]", text):
        raise ValueError("must not contain lone surrogates")
    return text


def _refuse_control_in_text(text: str) -> str:
    if _HARMFUL_IN_TEXT.search(text):
        raise ValueError("must not contain control characters or lone surrogates")
    return text


def _refuse_unstorable(document: dict[str, Any]) -> dict[str, Any]:
    """Reject values that jsonb cannot store, and nesting too deep for other JSON parsers."""
    level: list[Any] = [document]
    for _ in range(MAX_JSON_DEPTH):
        next_level: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                next_level += [*value, *value.values()]
            elif isinstance(value, list):
                next_level += value
            elif isinstance(value, str) and _HARMFUL_IN_JSON.search(value):
                raise ValueError("must not contain NUL or lone surrogates")
            elif isinstance(value, float) and not isfinite(value):
                raise ValueError("must not contain NaN or infinite numbers")
        if not next_level:
            return document
        level = next_level
    raise ValueError(f"must not be nested deeper than {MAX_JSON_DEPTH} levels")


def _require_number(value: object) -> object:
    if isinstance(value, (bool, str)):
        raise ValueError("must be a number")  # noqa: TRY004 - Pydantic handles only ValueError
    return value


def _require_format(regex: str, example: str) -> BeforeValidator:
    """Accept only strings; Pydantic would accept numbers too, as seconds since 1970."""
    pattern = re.compile(regex)

    def check(value: object) -> object:
        if isinstance(value, str) and not pattern.match(value):
            raise ValueError(f"must be like {example}")
        if isinstance(value, (int, float)):
            raise ValueError(f"must be a string like {example}")  # noqa: TRY004
        return value

    return BeforeValidator(check)


def padded(places: int) -> AfterValidator:
    """Return a validator that pads a decimal to `places`, as NUMERIC does.

    The response to a write then equals the value that later requests read.
    """
    last_place = Decimal(1).scaleb(-places)
    exact = Context(prec=MAX_PREC)

    def pad(number: Decimal) -> Decimal:
        return (number or Decimal(0)).quantize(last_place, context=exact)  # `or`: no -0

    return AfterValidator(pad)


def _convert_to_utc(moment: datetime) -> datetime:
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        utc = _FIRST_MOMENT
    if utc in (_FIRST_MOMENT, _LAST_MOMENT):
        raise ValueError("must be within the years 1 to 9999 in UTC")
    return utc


_NO_CONTROL = Field(json_schema_extra={"pattern": r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"})

Line = Annotated[str, AfterValidator(_refuse_control), AfterValidator(to_nfc), _NO_CONTROL]
"""One line of text, in NFC."""
Label = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100),
    AfterValidator(_refuse_control),
    AfterValidator(to_nfc),
    _NO_CONTROL,
]
"""A name of 1 to 100 characters."""

Text = Annotated[
    str,
    StringConstraints(max_length=100_000),
    AfterValidator(_refuse_control_in_text),
    AfterValidator(to_nfc),
    Field(
        json_schema_extra={"pattern": r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$"}
    ),
]
"""Text of several lines, in NFC."""

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that every JSON parser reads exactly (RFC 7493, section 2.2)."""

# The bounds precede the validator: after it, Pydantic omits them from the OpenAPI document.
BigInt = Annotated[
    int, Field(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER), BeforeValidator(_require_number)
]
RowRef = Annotated[int, Field(ge=1, le=MAX_SAFE_INTEGER), BeforeValidator(_require_number)]
"""The id of another row."""

Finite = Annotated[float, BeforeValidator(_require_number), Field(allow_inf_nan=False)]
Bool = Annotated[bool, Field(strict=True)]
Date = Annotated[date, _require_format(r"\d{4}-\d{2}-\d{2}$", "2026-12-31")]
DateTime = Annotated[
    AwareDatetime,
    _require_format(r"\d{4}-\d{2}-\d{2}[Tt ]\d", "2026-12-31T23:59:59Z"),
    AfterValidator(_convert_to_utc),
]
"""A time with a UTC offset, converted to UTC as PostgreSQL returns it."""

PlainDecimal = Annotated[
    Decimal, PlainSerializer(lambda number: f"{number:f}", return_type=str, when_used="json")
]
"""A decimal written without an exponent: 0.00000001, not 1E-8."""

JsonObject = Annotated[dict[str, Any], AfterValidator(_refuse_unstorable)]
"""A JSON object that jsonb can store."""

Email = Annotated[
    str,
    StringConstraints(max_length=255),
    AfterValidator(_refuse_control),
    AfterValidator(_check_new_address),
    Field(json_schema_extra={"format": "email"}),
]
"""A new e-mail address of an account."""

TypedEmail = Annotated[
    str, StringConstraints(max_length=255), AfterValidator(_refuse_control), _NO_CONTROL
]
"""The e-mail address of an existing account, as typed.

An invalid address gets the same response as an unknown one. The spelling is kept, since an account
is first looked up by its exact spelling (`security/addresses.py`).
"""

Username = Annotated[
    str, StringConstraints(min_length=3, max_length=50, pattern=r"^[A-Za-z0-9_-]+$")
]
FullName = Annotated[Line, StringConstraints(max_length=255)]
AnyPassword = Annotated[
    str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_refuse_surrogate)
]
"""A password to verify. A value that breaks the rules is wrong, not invalid."""

_rules = settings.PASSWORD_RULES
NewPassword = Annotated[
    str,
    StringConstraints(min_length=_rules.min_length, max_length=_rules.max_length),
    AfterValidator(_refuse_surrogate),
    AfterValidator(_rules.check_kinds),
    Field(description=_rules.describe()),
]
"""A new password that satisfies `Settings.PASSWORD_RULES`."""

SearchText = Annotated[Line, StringConstraints(min_length=2, max_length=100)]


def _only_instances(schema: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
    kinds = map(core_schema.is_instance_schema, get_args(schema))
    return core_schema.json_or_python_schema(
        json_schema=handler(schema),
        python_schema=core_schema.union_schema(list(kinds)),
        serialization=core_schema.simple_ser_schema("any"),
    )


SerializeAsInstance = GetPydanticSchema(_only_instances)
"""Serialize each value by its class: `Annotated[User | PublicUser, SerializeAsInstance]`.

By default Pydantic tries every member of the union for every value, which takes twice the time.
"""
