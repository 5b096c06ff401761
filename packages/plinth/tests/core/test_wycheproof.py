"""Wycheproof's vectors for JWS (tests/data/README.md).

They test the reader of access tokens, and separately its verification of signatures.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from httpx2 import AsyncClient
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey

from plinth.errors import Unauthenticated
from plinth.security import keys
from plinth.security.tokens import open_signed, read_access_token
from tests.support.forging import decode, encode

GROUPS = json.loads((Path(__file__).parents[1] / "data" / "wycheproof_jws.json").read_text())[
    "testGroups"
]
UNRELATED_KEY = {"kty": "oct", "alg": "HS256", "use": "sig", "kid": "none", "k": "A" * 43}

MATERIAL = ("kty", "crv", "x", "y", "d", "k")

# '?' within the base64 of what is signed: its authors let a lenient decoder pass. Ours is not.
STRICTER = {372, 373}
# Declared "invalid", but identical to 357, which is declared "valid".
CONTRADICTED = {367, 370}


VECTORS = [
    pytest.param(
        group["private"] or UNRELATED_KEY, vector, id=f"{vector['tcId']} {vector['comment']}"
    )
    for group in GROUPS
    for vector in group["tests"]
]


def make_key(jwk: dict[str, Any]) -> keys.Key:
    """Return the key as in a key ring, independent of its declared use."""
    material: dict[str, Any] = {name: jwk[name] for name in MATERIAL if name in jwk}
    kind = OctKey if jwk["kty"] == "oct" else ECKey
    alg = "HS256" if kind is OctKey else "ES256"
    return keys.Key(jwk["kid"], alg, kind.import_key(material), made_at=0, signs_from=0)


def verifies(key: keys.Key, text: str) -> bool:
    def find_key(header: dict[str, Any]) -> keys.Key:
        if (header.get("alg"), header.get("kid")) != (key.alg, key.kid):
            raise ValueError("algorithm or key")
        return key

    try:
        open_signed(text, find_key)
    except (ValueError, JoseError):
        return False
    return True


@pytest.mark.parametrize(("jwk", "vector"), VECTORS)
def test_only_valid_vectors_verify(jwk: dict[str, Any], vector: dict[str, Any]) -> None:
    meant_to_sign = jwk.get("use") == "sig"
    held = meant_to_sign and verifies(make_key(jwk), vector["jws"])
    valid = vector["result"] == "valid" and vector["tcId"] not in STRICTER
    assert held == (valid or vector["tcId"] in CONTRADICTED)


@pytest.mark.parametrize(("jwk", "vector"), VECTORS)
def test_access_token_reader_refuses_all_vectors(
    jwk: dict[str, Any], vector: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Valid vectors are refused as well: none has our header and claims."""
    ring = keys.KeyRing(None)
    monkeypatch.setattr(ring, "_by_kid", {jwk["kid"]: make_key(jwk)})
    monkeypatch.setattr(keys, "ring", ring)
    with pytest.raises(Unauthenticated):
        read_access_token(vector["jws"])


async def test_each_vector_is_401_over_http(client: AsyncClient) -> None:
    texts = [vector["jws"] for group in GROUPS for vector in group["tests"]]
    answers = [
        await client.get("/users/me", headers={"Authorization": f"Bearer {text}"}) for text in texts
    ]
    assert [answer.status_code for answer in answers] == [401] * 84


@pytest.mark.parametrize("number", [354, 356])
def test_key_without_use_sig_or_with_key_ops_is_refused(number: int, tmp_path: Path) -> None:
    jwk = next(
        group["private"]
        for group in GROUPS
        if number in {vector["tcId"] for vector in group["tests"]}
    )
    dates = dict.fromkeys(("made_at", "signs_from"), "2026-01-01T00:00:00Z")
    file = tmp_path / "keys.json"
    for use, taken in (({}, False), ({"use": "sig"}, "key_ops" not in jwk)):
        file.write_text(json.dumps({"keys": [{"alg": "ES256", **jwk, **use, **dates}]}))
        file.chmod(0o600)
        if taken:
            keys.read_keys(file)
        else:
            with pytest.raises(keys.KeyFileError):
                keys.read_keys(file)


@pytest.mark.parametrize("zeros", [1, 32, 200])
def test_padded_es256_signature_is_refused(zeros: int) -> None:
    """Replaces vector 385: r and s themselves are correct."""
    key = keys.make_key("ES256", made_at=0, signs_from=0)
    unsigned = f"{encode(json.dumps({'alg': 'ES256', 'kid': key.kid}).encode())}.{encode(b'x')}"
    good = key.sign(unsigned.encode())
    assert verifies(key, f"{unsigned}.{encode(good)}")
    padding = bytes(zeros)
    padded = padding + good[:32] + padding + good[32:]
    assert not verifies(key, f"{unsigned}.{encode(padded)}")
    assert decode(encode(padded)) == padded
