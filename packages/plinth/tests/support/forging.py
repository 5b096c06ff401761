"""Access tokens built by hand, with arbitrary flaws."""

import base64
import hmac
import json
from typing import Any
from uuid import UUID

from plinth.config import settings
from plinth.security.tokens import issue_access_token

TRUE_KEY = settings.SECRET_KEY.encode()
LEFT_OUT = object()


class Forge:
    """Build tokens for one user and session that differ from a valid one in one respect."""

    def __init__(self, user_id: int, session_id: UUID) -> None:
        self.good = issue_access_token(user_id, session_id)
        header, claims, _ = self.good.split(".")
        self.header: dict[str, Any] = json.loads(decode(header))
        self.claims: dict[str, Any] = json.loads(decode(claims))

    def with_header(self, **changes: Any) -> str:
        return sign(to_json(changed(self.header, changes)), to_json(self.claims))

    def with_claims(self, **changes: Any) -> str:
        return sign(to_json(self.header), to_json(changed(self.claims, changes)))

    def raw_header(self, header: bytes | str) -> str:
        return sign(to_bytes(header), to_json(self.claims))

    def raw_claims(self, claims: bytes | str) -> str:
        return sign(to_json(self.header), to_bytes(claims))

    def signed_with(self, key: bytes, digest: str = "sha256", **header: Any) -> str:
        return sign(to_json(changed(self.header, header)), to_json(self.claims), key, digest)


def doubled(part: dict[str, Any], field: str, value: str, *, first: bool) -> str:
    """Return the JSON object with a second member `field`."""
    text = to_json(part).decode()
    other = f'"{field}":{value}'
    return f"{{{other},{text[1:]}" if first else f"{text[:-1]},{other}}}"


def sign(header: bytes, claims: bytes, key: bytes = TRUE_KEY, digest: str = "sha256") -> str:
    unsigned = f"{encode(header)}.{encode(claims)}"
    return f"{unsigned}.{mac(unsigned.encode(), key, digest)}"


def mac(signed: bytes, key: bytes = TRUE_KEY, digest: str = "sha256") -> str:
    return encode(hmac.digest(key, signed, digest))


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def to_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def to_bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def changed(part: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in (part | changes).items() if value is not LEFT_OUT}


def name(value: Any) -> str:
    return "left out" if value is LEFT_OUT else repr(value)[:40]


def unpadded(part: dict[str, Any]) -> bytes:
    """Return JSON of a length whose base64 has unused bits."""
    text = to_json(part)
    return text if len(text) % 3 else text + b" "


def with_trailing_bit(encoded: str) -> str:
    """Change the lowest bit of the last letter, which base64 does not use."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = encoded[:-1] + alphabet[alphabet.index(encoded[-1]) ^ 1]
    assert decode(other) == decode(encoded)
    return other


def padded(encoded: str) -> str:
    return encoded + "=" * (-len(encoded) % 4)
