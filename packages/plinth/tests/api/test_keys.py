"""Key rotation from the view of clients and other services."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from httpx2 import AsyncClient
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import KeySet

from plinth.config import settings
from plinth.security import keys
from plinth.security.tokens import TYPE
from plinth.testing.people import People, Person
from tests.support.forging import decode, encode, mac, to_json

JWKS = "http://test/.well-known/jwks.json"
ASYMMETRIC = ("EdDSA", "Ed25519", "ES256")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The KEYS_FILE of the application, with SECRET_KEY and one further key."""
    path = tmp_path / "keys.json"
    monkeypatch.setattr(keys, "ring", keys.KeyRing(path))
    rotate(path, "HS256")
    return path


def rotate(file: Path, alg: str, after: int = 0) -> str:
    new, _ = keys.rotate_keys(file, alg, after=after)
    keys.ring.load()
    return new.kid


def content_of(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(file.read_text())["keys"]
    return found


def expire_key(file: Path, kid: str) -> None:
    changed = [
        key | {"verifies_until": "2020-01-01T00:00:00Z"} if key["kid"] == kid else key
        for key in content_of(file)
    ]
    file.write_text(json.dumps({"keys": changed}))
    keys.ring.load()


async def is_accepted(client: AsyncClient, token: str) -> bool:
    answer = await client.get("/users/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


def header_of(person: Person) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(decode(person.tokens["access_token"].partition(".")[0]))
    return found


@pytest.mark.parametrize("alg", keys.KINDS)
async def test_rotation_keeps_existing_tokens_valid(
    client: AsyncClient, people: People, file: Path, alg: str
) -> None:
    before = await people.enter()
    kid = rotate(file, alg)
    after = await people.sign_in(before)

    assert header_of(after) == {"alg": alg, "typ": TYPE, "kid": kid}
    assert header_of(before)["kid"] != kid
    assert await is_accepted(client, before.tokens["access_token"])
    assert await is_accepted(client, after.tokens["access_token"])


async def test_token_of_an_old_key_is_valid_until_the_key_expires(
    client: AsyncClient, people: People, file: Path
) -> None:
    person = await people.enter()
    old = header_of(person)["kid"]
    rotate(file, "EdDSA")
    assert await is_accepted(client, person.tokens["access_token"])

    expire_key(file, old)
    assert not await is_accepted(client, person.tokens["access_token"])

    rotate(file, "EdDSA")
    assert old not in {key["kid"] for key in content_of(file)}
    assert not await is_accepted(client, person.tokens["access_token"])
    answer = await client.post(
        "/auth/refresh", json={"refresh_token": person.tokens["refresh_token"]}
    )
    assert answer.status_code == 200, "a refresh token has nothing to do with these keys"
    assert await is_accepted(client, answer.json()["access_token"])


async def test_token_of_a_revoked_key_is_refused(
    client: AsyncClient, people: People, file: Path
) -> None:
    person = await people.enter()
    rotate(file, "HS256")
    keys.revoke_key(file, header_of(person)["kid"])
    keys.ring.load()
    assert not await is_accepted(client, person.tokens["access_token"])


async def test_pending_key_is_published_before_it_signs(
    client: AsyncClient, people: People, file: Path
) -> None:
    kid = rotate(file, "EdDSA", after=600)
    answer = await client.get(JWKS)
    assert [key["kid"] for key in answer.json()["keys"]] == [kid]
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert header_of(await people.enter())["kid"] != kid


async def test_jwks_is_empty_without_asymmetric_keys(
    client: AsyncClient,
) -> None:
    answer = await client.get(JWKS)
    assert (answer.status_code, answer.json()) == (200, {"keys": []})


async def test_jwks_has_no_private_parts(client: AsyncClient, file: Path) -> None:
    kids = {rotate(file, alg) for alg in ASYMMETRIC}
    rotate(file, "HS512")
    found = (await client.get(JWKS)).json()["keys"]
    assert {key["kid"] for key in found} == kids
    for key in found:
        assert set(key) <= {"kty", "crv", "x", "y", "kid", "alg", "use"}
        assert key["use"] == "sig"
    private = [key[name] for key in content_of(file) for name in "dk" if name in key]
    assert len(private) == 6
    assert not [secret for secret in private if secret in json.dumps(found)]


@pytest.mark.parametrize("alg", ASYMMETRIC)
async def test_other_libraries_verify_tokens_with_the_jwks(
    client: AsyncClient, people: People, file: Path, alg: str
) -> None:
    rotate(file, alg)
    token = (await people.enter()).tokens["access_token"]
    published = (await client.get(JWKS)).json()
    if alg == "EdDSA":
        with pytest.warns(SecurityWarning, match="RFC 9864"):
            verified = jws.deserialize_compact(token, KeySet.import_key_set(published), [alg])
    else:
        verified = jws.deserialize_compact(token, KeySet.import_key_set(published), [alg])
    assert json.loads(verified.payload or b"")["aud"] == settings.TOKEN_AUDIENCE


async def test_cryptography_alone_verifies_an_es256_token(people: People, file: Path) -> None:
    rotate(file, "ES256")
    unsigned, _, signature = (await people.enter()).tokens["access_token"].rpartition(".")
    number = decode(signature)
    public = keys.ring.signing_key.jwk.public_key
    assert isinstance(public, EllipticCurvePublicKey)
    r, s = (int.from_bytes(half, "big") for half in (number[:32], number[32:]))
    public.verify(encode_dss_signature(r, s), unsigned.encode(), ECDSA(hashes.SHA256()))


@pytest.mark.parametrize("alg", ASYMMETRIC)
async def test_a_public_key_does_not_sign(
    client: AsyncClient, people: People, file: Path, alg: str
) -> None:
    """Algorithm confusion: the bytes of the public key as an HMAC key (RFC 8725, section 2.1)."""
    kid = rotate(file, alg)
    claims = (await people.enter()).tokens["access_token"].split(".")[1]
    jwk = keys.ring.signing_key.jwk.as_dict(private=False)
    public: Any = keys.ring.signing_key.jwk.public_key
    raw = (Encoding.Raw, PublicFormat.Raw)
    point = (Encoding.X962, PublicFormat.UncompressedPoint)
    forms = [
        public.public_bytes(*(point if alg == "ES256" else raw)),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).rstrip(b"\n"),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        str(jwk["x"]).encode(),
        base64.urlsafe_b64decode(str(jwk["x"]) + "="),
        to_json(jwk),
        b"",
    ]
    for form in forms:
        for claimed in ("HS256", alg):
            header = encode(to_json({"alg": claimed, "typ": TYPE, "kid": kid}))
            unsigned = f"{header}.{claims}"
            assert not await is_accepted(client, f"{unsigned}.{mac(unsigned.encode(), form)}")


@pytest.mark.parametrize("named", keys.KINDS)
@pytest.mark.parametrize("alg", keys.KINDS)
async def test_token_algorithm_must_match_its_key(
    client: AsyncClient, people: People, file: Path, named: str, alg: str
) -> None:
    """A valid signature by the right key, with the `kid` of another one."""
    kid = rotate(file, alg)
    claims = (await people.enter()).tokens["access_token"].split(".")[1]
    header = encode(to_json({"alg": named, "typ": TYPE, "kid": kid}))
    unsigned = f"{header}.{claims}"
    token = f"{unsigned}.{encode(keys.ring.signing_key.sign(unsigned.encode()))}"
    assert await is_accepted(client, token) == (named == alg)


async def test_token_is_verified_only_by_the_key_of_its_kid(
    client: AsyncClient, people: People, file: Path
) -> None:
    first = keys.ring.signing_key
    second = rotate(file, "HS256")
    claims = (await people.enter()).tokens["access_token"].split(".")[1]
    header = encode(to_json({"alg": "HS256", "typ": TYPE, "kid": second}))
    unsigned = f"{header}.{claims}"
    assert not await is_accepted(client, f"{unsigned}.{encode(first.sign(unsigned.encode()))}")
