"""Refresh tokens: format, signature, and encryption of the successor."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import uuid4

import pytest

from plinth.security.refresh_tokens import (
    LENGTH,
    SECRET,
    RefreshToken,
    decrypt_successor,
    encrypt_successor,
    make_refresh_token,
    parse_refresh_token,
)

SESSION = uuid4()


def test_token_round_trip() -> None:
    token = make_refresh_token(SESSION)
    found = parse_refresh_token(token.text)
    assert found == token
    assert found is not None
    assert (found.session_id, found.is_ours) == (SESSION, True)


def test_secret_is_long_and_unique() -> None:
    tokens = [make_refresh_token(SESSION) for _ in range(1000)]
    assert SECRET * 8 >= 128
    assert len({token.data[16 : 16 + SECRET] for token in tokens}) == 1000
    assert len({token.hash for token in tokens}) == 1000


@pytest.mark.parametrize("place", range(LENGTH))
def test_changed_byte_invalidates_the_token(place: int) -> None:
    token = make_refresh_token(SESSION)
    data = bytearray(token.data)
    data[place] ^= 1
    forged = RefreshToken(bytes(data))
    assert not forged.is_ours
    assert forged.hash != token.hash
    assert decrypt_successor(encrypt_successor(make_refresh_token(SESSION), token), forged) is None


def test_malformed_token_is_none() -> None:
    text = make_refresh_token(SESSION).text
    too_long = urlsafe_b64encode(urlsafe_b64decode(text) + b"abc").decode()
    standard = urlsafe_b64encode(b"\xfb\xff" * 33).decode().replace("-", "+").replace("_", "/")
    others = ["", "A", text[:-1], text[:-4], f"{text}=", f" {text}", f"{text}\n"]
    others += [too_long, standard]
    others += [text[:10] + odd + text[11:] for odd in ("é", "\0", "=", " ", "\ud800")]
    assert [found for found in map(parse_refresh_token, others) if found] == []


def test_successor_decrypts_only_unchanged_with_the_previous_token() -> None:
    previous, following = make_refresh_token(SESSION), make_refresh_token(SESSION)
    sealed = encrypt_successor(following, previous)
    assert following.data not in sealed
    assert decrypt_successor(sealed, previous) == following
    assert decrypt_successor(sealed, following) is None
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        assert decrypt_successor(bytes(changed), previous) is None
        assert decrypt_successor(sealed[:place], previous) is None
    assert encrypt_successor(following, previous) != sealed
