from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel

from plinth.security.keys import Key


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
