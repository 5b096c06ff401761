"""Kinds of text that come in. What PostgreSQL or a log line cannot hold is refused here."""

import re
from typing import Annotated

from pydantic import AfterValidator, EmailStr, Field, StringConstraints

LARGEST_ID = 2**63 - 1

# Control characters, line and paragraph separator, surrogates. A pattern, for it sees the text
# before its length is checked: a megabyte takes a loop over `unicodedata.category` 15 times longer.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
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
