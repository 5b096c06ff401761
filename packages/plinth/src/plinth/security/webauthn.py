"""Verification of passkeys: WebAuthn Level 3, sections 7.1 and 7.2, without attestation.

The package fido2 parses the data and verifies signatures. The steps are here, so that each refusal
has a reason of its own.
"""

import hashlib
import json
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar
from uuid import UUID

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from fido2 import cbor
from fido2.cose import ES256, RS256, CoseKey, EdDSA
from fido2.utils import websafe_decode
from fido2.webauthn import AttestationObject, AuthenticatorData

T = TypeVar("T")
ALGORITHMS = (ES256.ALGORITHM, EdDSA.ALGORITHM, RS256.ALGORITHM)  # the preferred one first
KEY_TYPES = {ES256.ALGORITHM: 2, EdDSA.ALGORITHM: 1, RS256.ALGORITHM: 3}  # RFC 9053, section 7
KEY_TYPE, ALGORITHM, MODULUS = 1, 3, -1  # parameters of a COSE key
RSA_BITS = range(2048, 4097)
MAX_PUBLIC_KEY = 1024  # bytes
MAX_CREDENTIAL_ID = 1023  # bytes (section 4, "Credential ID")
CREATE, GET = "webauthn.create", "webauthn.get"

# Errors of the parsers of fido2 for data of any form.
_MALFORMED = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
    struct.error,
)


class Refused(Exception):
    """
    Args:
        reason: for the audit log. The client must not see it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """
    Attributes:
        id: the domain that passkeys belong to.
        origins: of the pages that may use them.
    """

    id: str
    origins: Collection[str]


@dataclass(frozen=True, slots=True)
class Registration:
    """The result of `navigator.credentials.create()`.

    Attributes:
        transports: how the browser reaches it. Not signed.
    """

    client_data: bytes
    attestation: bytes
    transports: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Assertion:
    """The result of `navigator.credentials.get()`."""

    credential_id: bytes
    client_data: bytes
    authenticator_data: bytes
    signature: bytes
    user_handle: bytes | None


@dataclass(frozen=True, slots=True)
class State:
    """The state of an authenticator, which it signs with each use."""

    sign_count: int
    is_user_verified: bool
    is_backup_eligible: bool
    is_backed_up: bool


@dataclass(frozen=True, slots=True)
class NewCredential:
    """
    Attributes:
        public_key: in COSE format.
    """

    credential_id: bytes
    public_key: bytes
    aaguid: UUID
    state: State


def read_challenge(client_data: bytes) -> bytes:
    """Return the challenge that the browser signed, which is not verified yet.

    Raises:
        Refused
    """
    return _parse(lambda: _read_client_data(client_data)[1])


def verify_registration(
    party: RelyingParty, registration: Registration, challenge: bytes
) -> NewCredential:
    """Verify a new passkey (section 7.1). Its attestation is ignored: any maker is accepted.

    Raises:
        Refused
    """
    _verify_client_data(party, registration.client_data, CREATE, challenge)
    data = _parse(lambda: AttestationObject(registration.attestation)).auth_data
    state = _verify_authenticator_data(party, data)
    if data.credential_data is None:
        _refuse("no credential")
    credential_id = bytes(data.credential_data.credential_id)
    if not 0 < len(credential_id) <= MAX_CREDENTIAL_ID:
        _refuse("malformed")
    key = data.credential_data.public_key
    _verify_key(key)
    public_key = cbor.encode(key)
    if len(public_key) > MAX_PUBLIC_KEY:
        _refuse("malformed")
    aaguid = UUID(bytes=bytes(data.credential_data.aaguid))
    return NewCredential(credential_id, public_key, aaguid, state)


def verify_assertion(
    party: RelyingParty, assertion: Assertion, challenge: bytes, public_key: bytes
) -> State:
    """Verify the use of a passkey (section 7.2).

    Args:
        public_key: in COSE format, as `verify_registration` returned it.

    Raises:
        Refused
    """
    _verify_client_data(party, assertion.client_data, GET, challenge)
    data = _parse(lambda: AuthenticatorData(assertion.authenticator_data))
    state = _verify_authenticator_data(party, data)
    key = CoseKey.parse(cbor.decode(public_key))  # type: ignore[arg-type]  # a map
    signed = assertion.authenticator_data + hashlib.sha256(assertion.client_data).digest()
    try:
        key.verify(signed, assertion.signature)
    except InvalidSignature:
        _refuse("wrong signature")
    return state


def _verify_client_data(
    party: RelyingParty, client_data: bytes, kind: str, challenge: bytes
) -> None:
    content, signed_challenge = _parse(lambda: _read_client_data(client_data))
    if content.get("type") != kind:
        _refuse("wrong type")
    if signed_challenge != challenge:
        _refuse("wrong challenge")
    origin = content.get("origin")
    if not isinstance(origin, str) or origin not in party.origins:
        _refuse("wrong origin")
    # A page of another site shows ours in a frame. `topOrigin` is the origin of that page.
    if content.get("crossOrigin", False) is not False or "topOrigin" in content:
        _refuse("cross-origin")


def _read_client_data(client_data: bytes) -> tuple[Mapping[str, Any], bytes]:
    """Return the client data and its challenge."""
    content = json.loads(client_data.decode())
    return content, websafe_decode(content["challenge"])


def _verify_authenticator_data(party: RelyingParty, data: AuthenticatorData) -> State:
    if data.rp_id_hash != hashlib.sha256(party.id.encode()).digest():
        _refuse("wrong RP id")
    if not data.is_user_present():
        _refuse("user not present")
    if data.is_backed_up() and not data.is_backup_eligible():
        _refuse("inconsistent backup flags")
    return State(
        sign_count=data.counter,
        is_user_verified=data.is_user_verified(),
        is_backup_eligible=data.is_backup_eligible(),
        is_backed_up=data.is_backed_up(),
    )


def _verify_key(key: CoseKey) -> None:
    """Refuse a key with which no assertion could be verified later."""
    algorithm = key.get(ALGORITHM)
    if algorithm not in ALGORITHMS or key.get(KEY_TYPE) != KEY_TYPES[algorithm]:
        _refuse("unsupported algorithm")
    if algorithm == RS256.ALGORITHM:
        modulus = key.get(MODULUS)
        if not isinstance(modulus, bytes) or _count_bits(modulus) not in RSA_BITS:
            _refuse("unsupported algorithm")
    try:
        _parse(lambda: key.verify(b"", b""))
    except InvalidSignature:
        return
    except UnsupportedAlgorithm:
        _refuse("unsupported algorithm")


def _count_bits(number: bytes) -> int:
    return int.from_bytes(number).bit_length()


def _parse(parse: Callable[[], T]) -> T:
    try:
        return parse()
    except _MALFORMED:
        _refuse("malformed")


def _refuse(reason: str) -> NoReturn:
    raise Refused(reason) from None
