"""Kinds of text that come in. What PostgreSQL or a log line cannot hold is refused here."""

import re
from math import isfinite
from typing import Annotated, Any

from pydantic import AfterValidator, EmailStr, Field, StringConstraints

LARGEST_ID = 2**63 - 1
DEEPEST_JSON = 20

# Control characters, line and paragraph separator, surrogates. A pattern, for it sees the text
# before its length is checked: a megabyte takes a loop over `unicodedata.category` 15 times longer.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_HARMFUL_IN_JSON = re.compile("[\x00\ud800-\udfff]")
_HARMFUL_IN_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def _refuse_control(text: str) -> str:
    if _HARMFUL.search(text):
        raise ValueError("must not contain control characters or lone surrogates")
    return text


def _require_variety(password: str) -> str:
    if not (
        any(char.isupper() for char in password)
        and any(char.islower() for char in password)
        and any(char.isdigit() for char in password)
    ):
        raise ValueError("must contain an upper-case letter, a lower-case letter and a digit")
    return password


def _refuse_surrogate(text: str) -> str:
    if re.search("[\ud800-\udfff]", text):
        raise ValueError("must not contain lone surrogates")
    return text


def _refuse_control_in_text(text: str) -> str:
    if _HARMFUL_IN_TEXT.search(text):
        raise ValueError("must not contain control characters or lone surrogates")
    return text


def _refuse_unstorable(document: dict[str, Any]) -> dict[str, Any]:
    """What jsonb refuses, and what is nested so deep that others' parsers give up on it."""
    level: list[Any] = [document]
    for _ in range(DEEPEST_JSON):
        inside: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inside += [*value, *value.values()]
            elif isinstance(value, list):
                inside += value
            elif isinstance(value, str) and _HARMFUL_IN_JSON.search(value):
                raise ValueError("must not contain NUL or lone surrogates")
            elif isinstance(value, float) and not isfinite(value):
                raise ValueError("must not contain numbers that are infinite or none")
        if not inside:
            return document
        level = inside
    raise ValueError(f"must not be nested deeper than {DEEPEST_JSON}")


Line = Annotated[str, AfterValidator(_refuse_control)]
"""One line of text."""

Text = Annotated[
    str, StringConstraints(max_length=100_000), AfterValidator(_refuse_control_in_text)
]
"""Text of several lines."""

BigInt = Annotated[int, Field(ge=-(2**63), le=LARGEST_ID)]
RowRef = Annotated[int, Field(ge=1, le=LARGEST_ID)]
"""The id of another row."""

Finite = Annotated[float, Field(allow_inf_nan=False)]

JsonObject = Annotated[dict[str, Any], AfterValidator(_refuse_unstorable)]
"""Any JSON object that jsonb can hold."""

Email = Annotated[EmailStr, StringConstraints(max_length=255)]
Username = Annotated[
    str, StringConstraints(min_length=3, max_length=50, pattern=r"^[A-Za-z0-9_-]+$")
]
FullName = Annotated[Line, StringConstraints(max_length=255)]
AnyPassword = Annotated[
    str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_refuse_surrogate)
]
"""A password to compare; what is no possible password is simply wrong, not invalid."""

NewPassword = Annotated[
    str,
    StringConstraints(min_length=8, max_length=100),
    AfterValidator(_refuse_surrogate),
    AfterValidator(_require_variety),
]
SearchText = Annotated[Line, StringConstraints(min_length=2, max_length=100)]
