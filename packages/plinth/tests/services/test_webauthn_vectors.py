"""The test vectors of WebAuthn Level 3, section 16, through the code that verifies passkeys."""

import json
from pathlib import Path
from typing import Any

import pytest

from plinth.security import webauthn
from plinth.security.webauthn import Assertion, Refused, Registration, RelyingParty

PARTY = RelyingParty("example.org", ["https://example.org"])
FILE = Path(__file__).parents[1] / "data" / "webauthn_vectors.json"
VECTORS = {it["name"]: it for it in json.loads(FILE.read_text())["vectors"]}
REFUSED = {
    "none-es256-crossOrigin": "cross-origin",
    "none-es256-topOrigin": "cross-origin",
    "packed-es384": "unsupported algorithm",
    "packed-es512": "unsupported algorithm",
    "packed-ed448": "unsupported algorithm",
}
ACCEPTED = [name for name in VECTORS if name not in REFUSED]


def read(part: dict[str, str]) -> dict[str, bytes]:
    return {name: bytes.fromhex(text) for name, text in part.items()}


def register(vector: dict[str, Any]) -> webauthn.NewCredential:
    sent = read(vector["registration"])
    registration = Registration(sent["clientDataJSON"], sent["attestationObject"])
    return webauthn.verify_registration(PARTY, registration, sent["challenge"])


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_credential_of_the_specification_is_accepted(name: str) -> None:
    credential = register(VECTORS[name])
    assert credential.credential_id.hex() == VECTORS[name]["registration"]["credential_id"]
    sent = read(VECTORS[name]["authentication"])
    assertion = Assertion(
        credential.credential_id,
        sent["clientDataJSON"],
        sent["authenticatorData"],
        sent["signature"],
        None,
    )
    state = webauthn.verify_assertion(PARTY, assertion, sent["challenge"], credential.public_key)
    assert state.is_backup_eligible == credential.state.is_backup_eligible


@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_an_unsupported_credential_is_refused(name: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        register(VECTORS[name])


@pytest.mark.parametrize("name", ACCEPTED)
@pytest.mark.parametrize("part", ["clientDataJSON", "authenticatorData", "signature"])
def test_any_changed_byte_is_refused(name: str, part: str) -> None:
    credential = register(VECTORS[name])
    sent = read(VECTORS[name]["authentication"])
    for position in range(0, len(sent[part]), 7):
        changed = bytearray(sent[part])
        changed[position] ^= 4
        bad = {**sent, part: bytes(changed)}
        assertion = Assertion(
            credential.credential_id,
            bad["clientDataJSON"],
            bad["authenticatorData"],
            bad["signature"],
            None,
        )
        with pytest.raises(Refused):
            webauthn.verify_assertion(PARTY, assertion, sent["challenge"], credential.public_key)
