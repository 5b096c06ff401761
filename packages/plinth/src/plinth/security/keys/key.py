from collections.abc import Iterable
from dataclasses import dataclass

from joserfc.jwk import ECKey, OctKey, OKPKey
from joserfc.jws import JWSRegistry

from plinth.config import settings
from plinth.config.secret_key import MIN_KEY_BYTES

Jwk = OctKey | OKPKey | ECKey

# What each algorithm's key is. "Ed25519" is RFC 9864's name for what most libraries call "EdDSA".
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
CLOCK_SKEW = 60  # seconds by which the clocks of our machines may differ


@dataclass(frozen=True, slots=True)
class Key:
    """
    A key is for one algorithm (RFC 8725, 3.1): what a token says of its own only has to agree.

    Attributes:
        made_at: seconds since 1970, like the next two.
        signs_from: from then on it signs, until a later key does.
        verifies_until: None for as long as no successor is known.
    """

    kid: str
    alg: str
    jwk: Jwk
    made_at: int
    signs_from: int
    verifies_until: int | None = None

    @property
    def is_secret(self) -> bool:
        """Whoever can verify with it can sign as well, so nobody is shown it."""
        return isinstance(self.jwk, OctKey)

    def sign(self, message: bytes) -> bytes:
        # The algorithm itself: the library's whole way to it takes the token apart again, and
        # eight times as long.
        return JWSRegistry.algorithms[self.alg].sign(message, self.jwk)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        return JWSRegistry.algorithms[self.alg].verify(message, signature, self.jwk)

    def holds_at(self, now: float) -> bool:
        return self.verifies_until is None or now < self.verifies_until


def make_key(alg: str, *, made_at: int, signs_from: int) -> Key:
    """A new random key."""
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
    """SECRET_KEY as a key of the ring."""
    jwk = OctKey.import_key(settings.SECRET_KEY)
    return Key(name_key(jwk), settings.ALGORITHM, jwk, now, now)


def name_key(jwk: Jwk) -> str:
    """Its thumbprint (RFC 7638), the beginning of it."""
    return jwk.thumbprint()[:KID_LENGTH]


def find_flaw(alg: str, jwk: Jwk) -> str | None:
    """Say why `jwk` cannot sign by `alg`, or None where it can."""
    if isinstance(jwk, OctKey):
        size = len(jwk.raw_value)
        return f"has {size} bytes, and {alg} asks for more" if size < MIN_KEY_BYTES[alg] else None
    if jwk.curve_name != CURVES[type(jwk)]:
        return f"is on another curve than {alg} asks for"
    return None if jwk.is_private else "has no private part"


def in_order(keys: Iterable[Key]) -> list[Key]:
    """As they come to sign; of two at one moment the one that was added later comes later."""
    return sorted(keys, key=lambda key: key.signs_from)


def find_signing_key(keys: Iterable[Key], now: float) -> Key:
    """Of those whose time has come, the one whose time came last."""
    ordered = in_order(keys)
    begun = [key for key in ordered if key.signs_from <= now]
    # None has begun where this machine's clock is behind the one that made them.
    return begun[-1] if begun else ordered[0]
