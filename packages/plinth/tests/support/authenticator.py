"""A software authenticator, and a browser around it, which can both lie."""

import hashlib
import json
import secrets
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from fido2 import cbor

ORIGIN, RP_ID = "http://localhost:3000", "localhost"
PRESENT, VERIFIED, ELIGIBLE, BACKED_UP, ATTESTED, EXTENDED = 1, 4, 8, 16, 64, 128
ES256, EDDSA, RS256, ES384 = -7, -8, -257, -35
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def make_key(algorithm: int) -> PrivateKey:
    if algorithm == EDDSA:
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == RS256:
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP384R1() if algorithm == ES384 else ec.SECP256R1())


def describe_key(key: PrivateKey, algorithm: int) -> dict[int, Any]:
    """Return the public key in COSE format (RFC 9053)."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = key.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )
        return {1: 1, 3: algorithm, -1: 6, -2: raw}
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return {1: 3, 3: algorithm, -1: numbers.n.to_bytes(256), -2: numbers.e.to_bytes(3)}
    point, size = key.public_key().public_numbers(), key.key_size // 8
    curve = {32: 1, 48: 2}[size]
    return {1: 2, 3: algorithm, -1: curve, -2: point.x.to_bytes(size), -3: point.y.to_bytes(size)}


def sign(key: PrivateKey, message: bytes) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(message, ec.ECDSA(hashes.SHA256()))


@dataclass(frozen=True, slots=True)
class Lies:
    """The difference from an honest browser and authenticator.

    Attributes:
        client_data: members of the client data to replace.
        public_key: parameters of the COSE key to replace; None removes one.
    """

    client_data: Mapping[str, Any] = field(default_factory=dict)
    rp_id: str = RP_ID
    flags: int = PRESENT | VERIFIED
    sign_count: int = 0
    public_key: Mapping[int, Any] = field(default_factory=dict)
    signature: bytes | None = None
    user_handle: str | None = ""
    credential_id: bytes | None = None
    extra: bytes = b""


HONEST = Lies()


@dataclass(slots=True)
class Authenticator:
    """One passkey.

    Attributes:
        user_handle: in base64url, as the options had it.
    """

    algorithm: int = ES256
    key: PrivateKey = None  # type: ignore[assignment]
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    user_handle: str | None = None

    def __post_init__(self) -> None:
        self.key = self.key or make_key(self.algorithm)

    def create(self, options: dict[str, Any], lies: Lies = HONEST) -> dict[str, Any]:
        """Return the JSON form of a new passkey."""
        self.user_handle = options["user"]["id"]
        client_data = self._client_data("webauthn.create", options, lies)
        attestation = {"fmt": "none", "attStmt": {}, "authData": self._new_data(lies)}
        return {
            "id": encode(self.credential_id),
            "rawId": encode(self.credential_id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": encode(client_data),
                "attestationObject": encode(cbor.encode(attestation)),
                "transports": ["internal", "hybrid", "future"],
            },
        }

    def get(self, options: dict[str, Any], lies: Lies = HONEST) -> dict[str, Any]:
        """Return the JSON form of an assertion."""
        client_data = self._client_data("webauthn.get", options, lies)
        data = _make_data(lies) + lies.extra
        signed = data + hashlib.sha256(client_data).digest()
        signature = sign(self.key, signed) if lies.signature is None else lies.signature
        handle = self.user_handle if lies.user_handle == "" else lies.user_handle
        return {
            "id": encode(lies.credential_id or self.credential_id),
            "rawId": encode(lies.credential_id or self.credential_id),
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": encode(client_data),
                "authenticatorData": encode(data),
                "signature": encode(signature),
                "userHandle": handle,
            },
        }

    def attest_nothing(self) -> str:
        """Return an attestation object without a credential."""
        data = _make_data(HONEST)
        return encode(cbor.encode({"fmt": "none", "attStmt": {}, "authData": data}))

    def _client_data(self, kind: str, options: dict[str, Any], lies: Lies) -> bytes:
        content = {
            "type": kind,
            "challenge": options["challenge"],
            "origin": ORIGIN,
            "crossOrigin": False,
            **lies.client_data,
        }
        return json.dumps(content).encode()

    def _new_data(self, lies: Lies) -> bytes:
        key = {**describe_key(self.key, self.algorithm), **lies.public_key}
        public_key = cbor.encode({name: it for name, it in key.items() if it is not None})
        credential_id = self.credential_id if lies.credential_id is None else lies.credential_id
        size = struct.pack(">H", len(credential_id))
        data = _make_data(replace(lies, flags=lies.flags | ATTESTED))
        return data + bytes(16) + size + credential_id + public_key + lies.extra


def _make_data(lies: Lies) -> bytes:
    digest = hashlib.sha256(lies.rp_id.encode()).digest()
    return digest + struct.pack(">BI", lies.flags, lies.sign_count)
