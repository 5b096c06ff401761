"""A key of access tokens, bound to one algorithm."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from joserfc.jwk import ECKey, OctKey, OKPKey
from joserfc.jws import JWSRegistry
from pydantic import BaseModel

from plinth.config import settings
from plinth.config.secret_key import MIN_KEY_BYTES

Jwk = OctKey | OKPKey | ECKey

# The type of key for each algorithm. "Ed25519" (RFC 9864) is the same as "EdDSA".
KINDS: dict[str, type[Jwk]] = {
    "HS256": OctKey,
    "HS384": OctKey,
    "HS512": OctKey,
    "EdDSA": OKPKey,
    "Ed25519": OKPKey,
    "ES256": ECKey,
}
CURVES = {OKPKey: "Ed25519", ECKey: "P-256"}
KID_LENGTH = 16  # of the thumbprint's 43 characters: 96 bits
CLOCK_SKEW = 60  # seconds that the clocks of the servers may differ


@dataclass(frozen=True, slots=True)
class Key:
    """A key for a single algorithm (RFC 8725, section 3.1), which a token's header must match.

    Attributes:
        made_at: seconds since 1970, as the other dates.
        signs_from: the key signs from then on, until a later key does.
        verifies_until: None for a key without successor.
    """

    kid: str
    alg: str
    jwk: Jwk
    made_at: int
    signs_from: int
    verifies_until: int | None = None

    @property
    def is_secret(self) -> bool:
        """Whether the key is symmetric: it also signs, so it must not be published."""
        return isinstance(self.jwk, OctKey)

    def sign(self, message: bytes) -> bytes:
        # Call the algorithm directly: the library's function parses the token again, which takes
        # eight times as long.
        return JWSRegistry.algorithms[self.alg].sign(message, self.jwk)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        return JWSRegistry.algorithms[self.alg].verify(message, signature, self.jwk)

    def holds_at(self, now: float) -> bool:
        return self.verifies_until is None or now < self.verifies_until


def make_key(alg: str, *, made_at: int, signs_from: int) -> Key:
    """Generate a random key."""
    kind = KINDS[alg]
    jwk: Jwk
    if kind is OctKey:
        jwk = OctKey.generate_key(MIN_KEY_BYTES[alg] * 8)
    elif kind is OKPKey:
        jwk = OKPKey.generate_key("Ed25519")
    else:
        jwk = ECKey.generate_key("P-256")
    return Key(name_key(jwk), alg, jwk, made_at, signs_from)


def take_secret_key(now: int) -> Key:
    """Return SECRET_KEY as a key."""
    jwk = OctKey.import_key(settings.SECRET_KEY)
    return Key(name_key(jwk), settings.ALGORITHM, jwk, now, now)


def name_key(jwk: Jwk) -> str:
    """Return the first characters of the thumbprint (RFC 7638)."""
    return jwk.thumbprint()[:KID_LENGTH]


def find_flaw(alg: str, jwk: Jwk) -> str | None:
    """Return why `jwk` cannot sign with `alg`; None if it can."""
    if isinstance(jwk, OctKey):
        size = len(jwk.raw_value)
        least = MIN_KEY_BYTES[alg]
        return f"has {size} bytes; {alg} needs {least}" if size < least else None
    if jwk.curve_name != CURVES[type(jwk)]:
        return f"must be on the curve {CURVES[type(jwk)]} for {alg}"
    return None if jwk.is_private else "has no private part"


def in_order(keys: Iterable[Key]) -> list[Key]:
    """Sort keys by the start of signing; keys with equal times keep their order."""
    return sorted(keys, key=lambda key: key.signs_from)


def find_signing_key(keys: Iterable[Key], now: float) -> Key:
    """Return the key that began to sign last."""
    ordered = in_order(keys)
    begun = [key for key in ordered if key.signs_from <= now]
    # None has begun if the clock of this server is behind the clock of the rotation.
    return begun[-1] if begun else ordered[0]


class PublicKey(BaseModel):
    """A public key as JWK (RFC 7517)."""

    kty: Literal["OKP", "EC"]
    crv: str
    x: str
    y: str | None = None
    kid: str
    alg: str
    use: Literal["sig"] = "sig"


class JwkSet(BaseModel):
    keys: list[PublicKey]


def show_public_keys(keys: Iterable[Key]) -> JwkSet:
    """Return the public parts of the asymmetric keys."""
    return JwkSet(
        keys=[
            PublicKey.model_validate(
                {**key.jwk.as_dict(private=False), "kid": key.kid, "alg": key.alg}
            )
            for key in keys
            if not key.is_secret
        ]
    )
