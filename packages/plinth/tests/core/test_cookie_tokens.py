import hashlib
from collections.abc import Callable
from uuid import uuid4

import pytest

from plinth.security.cookie_tokens import make_cookie_token, parse_cookie_token


def test_token_round_trip() -> None:
    token = make_cookie_token(session_id := uuid4())
    assert parse_cookie_token(token.text) == token
    assert token.session_id == session_id


@pytest.mark.parametrize(
    "respell",
    [
        lambda text: text + "\n",
        lambda text: "!" + text,
        lambda text: text[:10] + " " + text[10:],
        lambda text: text + "====",
        lambda text: text[:-4],
        lambda text: text + "AAAA",
        lambda _: "é",
        lambda _: "",
    ],
)
def test_malformed_token_is_none(respell: Callable[[str], str]) -> None:
    assert parse_cookie_token(respell(make_cookie_token(uuid4()).text)) is None


def test_hash_differs_from_a_refresh_token_hash() -> None:
    """A refresh token's hash is the plain SHA-256 of its bytes; one column has both."""
    token = make_cookie_token(uuid4())
    assert token.hash != hashlib.sha256(token.data).digest()
