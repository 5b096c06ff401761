"""Encrypted values decrypt only unchanged and for the purpose of their encryption."""

import pytest

from plinth.config import settings
from plinth.security.encryption import decrypt, encrypt

CONTENT = {"token": "a secret", "until": 7, "name": "Zoë"}


def test_encrypt_and_decrypt_round_trip() -> None:
    sealed = encrypt(CONTENT, belongs_to="mail 1")
    assert decrypt(sealed, belongs_to="mail 1") == CONTENT
    assert b"secret" not in sealed
    assert encrypt(CONTENT, belongs_to="mail 1") != sealed, "a nonce is used once"


def test_value_is_bound_to_belongs_to() -> None:
    with pytest.raises(ValueError, match="changed since"):
        decrypt(encrypt(CONTENT, belongs_to="mail 1"), belongs_to="mail 2")


def test_another_secret_key_does_not_decrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = encrypt(CONTENT, belongs_to="mail 1")
    monkeypatch.setattr(settings, "SECRET_KEY", settings.SECRET_KEY[::-1])
    with pytest.raises(ValueError, match="another SECRET_KEY"):
        decrypt(sealed, belongs_to="mail 1")


def test_changed_byte_is_refused() -> None:
    sealed = encrypt(CONTENT, belongs_to="mail 1")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(ValueError, match="changed since"):
            decrypt(bytes(changed), belongs_to="mail 1")


@pytest.mark.parametrize("length", [0, 1, 12, 27])
def test_truncated_value_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="changed since"):
        decrypt(encrypt(CONTENT, belongs_to="mail 1")[:length], belongs_to="mail 1")
