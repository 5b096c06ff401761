"""The format of API keys."""

import re
from uuid import UUID, uuid4
from zlib import crc32

import pytest

from plinth.config import settings
from plinth.security.api_keys import (
    PATTERN,
    ApiKeyToken,
    base62,
    find_key_id,
    looks_like_key,
    make_api_key,
    make_prefix,
    parse_api_key,
)
from plinth.security.api_keys.token import CHECKSUM_LENGTH, LENGTH, SECRET_LENGTH

LARGEST = UUID(int=2**128 - 1)


def sign(body: str) -> str:
    """Return the key with this body and a right checksum."""
    return f"{body}_{base62.encode(crc32(body.encode()), CHECKSUM_LENGTH)}"


@pytest.mark.parametrize("key_id", [uuid4(), UUID(int=0), LARGEST])
def test_key_round_trip(key_id: UUID) -> None:
    key = make_api_key(key_id)
    assert parse_api_key(key.text) == key
    assert (key.id, len(key.text)) == (key_id, LENGTH)
    assert looks_like_key(key.text)
    assert re.fullmatch(PATTERN, key.text)


def test_id_is_found_in_the_beginning_of_a_key() -> None:
    key = make_api_key(uuid4())
    assert key.text.startswith(f"{make_prefix(key.id)}_")
    assert find_key_id(make_prefix(key.id)) == key.id
    assert find_key_id(key.text) == key.id
    others = [
        "",
        "plk_test_",
        make_prefix(key.id)[:-1],
        f"{make_prefix(key.id)}a",
        f"plk_live_{'z' * 22}",
    ]
    assert [text for text in others if find_key_id(text)] == []


def test_secret_has_160_random_bits_at_least() -> None:
    assert 62**SECRET_LENGTH >= 2**160
    keys = [make_api_key(LARGEST) for _ in range(1000)]
    assert len({key.text.split("_")[3] for key in keys}) == 1000
    assert len({key.hash for key in keys}) == 1000
    seen = {char for key in keys for char in key.text.split("_")[3]}
    assert seen == set(base62.ALPHABET)


def test_key_is_not_in_its_representation() -> None:
    key = make_api_key(uuid4())
    assert key.text.split("_")[3] not in repr(key)
    assert key.hash.hex() not in repr(key)


@pytest.mark.parametrize("place", range(LENGTH))
def test_key_with_a_changed_character_is_none(place: int) -> None:
    text = make_api_key(uuid4()).text
    other = "0" if text[place] != "0" else "1"
    assert parse_api_key(text[:place] + other + text[place + 1 :]) is None


def make_malformed() -> list[str]:
    text = make_api_key(uuid4()).text
    prefix, environment, number, secret, checksum = text.split("_")
    fields = ["", "plk_", "plk_test_", "plk_live_", text[:-1], f"{text}0", f" {text}", f"{text}\n"]
    fields += [text.upper(), text.replace("_", "-"), f"{prefix}_{environment}_{number}_{secret}"]
    fields += [text[:20] + odd + text[21:] for odd in ("é", "\0", "=", " ", "_", "\ud800", "٣")]
    fields += [sign(f"plk_prod_{number}_{secret}"), f"plk_test_{number}_{secret}_{checksum[::-1]}"]
    fields += [sign(f"plk_test_{'z' * 22}_{secret}"), sign(f"plk_test_{number}_{secret[:-1]}")]
    fields += [sign(f"plk_test_{number}0_{secret[1:]}"), sign(f"PLK_test_{number}_{secret}")]
    fields += [sign(f"plk_test_{number}_{'٣' * 32}"), "plk_test_" + "a" * 2**20]
    return fields


def test_malformed_key_is_none() -> None:
    assert [text for text in make_malformed() if parse_api_key(text)] == []


@pytest.mark.parametrize(
    ("environment", "name"),
    [("production", "live"), ("staging", "test"), ("development", "test"), ("Production", "test")],
)
def test_key_of_another_environment_is_none(
    monkeypatch: pytest.MonkeyPatch, environment: str, name: str
) -> None:
    monkeypatch.setattr(settings, "ENVIRONMENT", environment)
    key = make_api_key(uuid4())
    assert key.text.startswith(f"plk_{name}_")
    assert parse_api_key(key.text) == key
    other = "staging" if name == "live" else "production"
    monkeypatch.setattr(settings, "ENVIRONMENT", other)
    assert parse_api_key(key.text) is None


def test_hash_covers_environment_and_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of production is no key of a copy of its database, with `live` replaced by `test`."""
    monkeypatch.setattr(settings, "ENVIRONMENT", "production")
    live = make_api_key(uuid4())
    monkeypatch.setattr(settings, "ENVIRONMENT", "staging")
    body = live.text.rpartition("_")[0].replace("live", "test")
    forged = parse_api_key(sign(body))
    assert isinstance(forged, ApiKeyToken)
    assert forged.id == live.id
    assert forged.hash != live.hash


@pytest.mark.parametrize(
    ("number", "text"), [(0, "000"), (61, "00z"), (62, "010"), (238327, "zzz")]
)
def test_base62(number: int, text: str) -> None:
    assert base62.encode(number, 3) == text
    assert base62.decode(text) == number


def test_base62_refuses_a_number_that_is_too_long() -> None:
    with pytest.raises(OverflowError, match="more than 3 digits"):
        base62.encode(62**3, 3)
