"""Bodies are parsed as in FastAPI: the fast parser accepts the same input as `json.loads`."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.http.dispatch.parameters import _parse

ODD = [
    b"1e400", b"-1e400", b"123456789012345678901234567890", b"1" * 4300, b"1" * 4301,
    b'"\\ud800"', b'"\\ud83d\\ude00"', b"\xef\xbb\xbf1", b'{"a": 1, "a": 2}', b"-0", b"-0.0",
    b"1E5", b'"\x00"', b'"\t"', b"NaN", b"-Infinity", b"[1,]", b"01", b'"\xff"', b"tru",
    '"\xe9"'.encode("utf-16"), b"[" * 300 + b"]" * 300, b"5e-324", b"9007199254740993.0",
    b"\x0b1", b'"\xed\xa0\x80"', b"[" * 100_000,
]  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize("body", ODD)
def test_unusual_body_is_parsed_like_json_loads(body: bytes) -> None:
    agree(body)


@given(VALUES, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_any_value_is_parsed_like_json_loads(
    value: Any, ascii_only: bool, indent: int | str | None
) -> None:
    with suppress(UnicodeEncodeError):  # a lone surrogate, which UTF-8 cannot encode
        agree(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode())


@given(st.binary(max_size=20) | st.text(alphabet='[]{}",:-+.0e1\\u ntf').map(str.encode))
def test_any_other_text_is_parsed_like_json_loads(body: bytes) -> None:
    agree(body)


def agree(body: bytes) -> None:
    assert judge(_parse, body) == judge(json.loads, body)


def judge(read: Callable[[bytes], Any], body: bytes) -> tuple[str, str]:
    """Return text for comparison, because NaN is not equal to itself."""
    try:
        return "", repr(read(body))
    except (ValueError, RecursionError) as error:
        return type(error).__name__, str(error)
