"""Access tokens: signed JWTs of type `at+jwt` (RFC 9068), parsed strictly.

joserfc verifies the signature. This module first checks what the library does not: the length, the
three parts in canonical base64url, the exact set of header fields, no duplicate keys in an object,
and integer dates (RFC 8725, section 3).
"""

import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from secrets import token_urlsafe
from typing import Any
from uuid import UUID

from joserfc.errors import JoseError
from pydantic_core import to_json

from plinth.config import settings
from plinth.errors import Unauthenticated
from plinth.security import keys

MAX_LENGTH = 2048
TYPE = "at+jwt"
HEADER_FIELDS = {"alg", "typ", "kid"}
MAX_ID = 2**63 - 1
MAX_CACHED_TOKENS = 4096  # about 1 KiB each


@dataclass(frozen=True, slots=True)
class AccessToken:
    user_id: int
    session_id: UUID
    expires_at: int


def issue_access_token(user_id: int, session_id: UUID) -> str:
    """Return a token that is valid for `ACCESS_TOKEN_EXPIRE_MINUTES`.

    It identifies a user and a session and grants no permission: each request reads these again.
    """
    now = int(time.time())
    claims = {
        "iss": settings.TOKEN_ISSUER,
        "aud": settings.TOKEN_AUDIENCE,
        "sub": str(user_id),
        "sid": str(session_id),
        "jti": token_urlsafe(16),
        "iat": now,
        "exp": now + _lifetime(),
    }
    key = keys.ring.signing_key
    unsigned = f"{_make_header(key.alg, key.kid)}.{_encode(to_json(claims))}"
    return f"{unsigned}.{_encode(key.sign(unsigned.encode()))}"


def read_access_token(text: str) -> AccessToken:
    """Return the content of a valid token.

    Tokens are cached by their text until they expire or their key is removed. The caller checks the
    session with each request.

    Raises:
        Unauthenticated: the token is not valid; the response does not reveal the reason.
    """
    cached = _cached.get(text)
    if cached and cached[0].expires_at > time.time() and keys.ring.find(cached[1].kid) is cached[1]:
        return cached[0]
    try:
        payload, key = open_signed(text, _find_key)
        token = _check_claims(_parse(payload))
    except (ValueError, RecursionError, JoseError):
        raise Unauthenticated from None
    if len(_cached) >= MAX_CACHED_TOKENS:
        del _cached[next(iter(_cached))]
    _cached[text] = token, key
    return token


_cached: dict[str, tuple[AccessToken, keys.Key]] = {}


def open_signed(
    text: str, find_key: Callable[[dict[str, Any]], keys.Key]
) -> tuple[bytes, keys.Key]:
    """Return the payload of a compact JWS (RFC 7515) with a valid signature, and its key.

    Args:
        find_key: returns the key for a header, or raises `ValueError`.

    Raises:
        ValueError, RecursionError, JoseError: the text or its signature is not valid.
    """
    if len(text) > MAX_LENGTH or not text.isascii():
        raise ValueError("too long, or not ASCII")
    header, payload, signature = text.split(".")
    key = find_key(_parse(_decode(header)))
    if not key.verifies(f"{header}.{payload}".encode(), _decode(signature)):
        raise ValueError("signature")
    return _decode(payload), key


def _find_key(header: dict[str, Any]) -> keys.Key:
    # Refuse every field that we do not write: `crit`, `jwk`, `jku`, `x5u`, `zip` and others.
    if set(header) != HEADER_FIELDS or not isinstance(header["kid"], str):
        raise ValueError("header fields")
    key = keys.ring.find(header["kid"])
    if key is None or header != {"alg": key.alg, "typ": TYPE, "kid": key.kid}:
        raise ValueError("algorithm, type or key")
    return key


def _check_claims(claims: dict[str, Any]) -> AccessToken:
    now = time.time()
    subject, issued, expires = claims.get("sub"), claims.get("iat"), claims.get("exp")
    if claims.get("iss") != settings.TOKEN_ISSUER or claims.get("aud") != settings.TOKEN_AUDIENCE:
        raise ValueError("issuer or audience")
    if type(issued) is not int or type(expires) is not int:
        raise ValueError("dates must be integers")
    if expires <= now or issued > now + keys.CLOCK_SKEW:
        raise ValueError("expired, or issued in the future")
    not_before = claims.get("nbf", issued)  # we write none, but respect it
    if type(not_before) is not int or not_before > now + keys.CLOCK_SKEW:
        raise ValueError("not valid yet")
    if expires - issued > _lifetime():
        raise ValueError("lifetime")
    if not isinstance(subject, str) or not (subject.isascii() and subject.isdecimal()):
        raise ValueError("subject")
    if not 1 <= int(subject) <= MAX_ID or str(int(subject)) != subject:
        raise ValueError("subject")
    session = claims.get("sid")
    if not isinstance(session, str) or str(UUID(session)) != session:
        raise ValueError("session")
    return AccessToken(int(subject), UUID(session), expires)


def _lifetime() -> int:
    return settings.ACCESS_TOKEN_EXPIRE_MINUTES * 60


@lru_cache(maxsize=16)
def _make_header(alg: str, kid: str) -> str:
    return _encode(to_json({"alg": alg, "typ": TYPE, "kid": kid}))


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(part: str) -> bytes:
    # Different base64url texts may decode to the same bytes; accept only the canonical one.
    data = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if _encode(data) != part:
        raise ValueError("not canonical base64url")
    return data


def _parse(data: bytes) -> dict[str, Any]:
    # Decode as UTF-8 (RFC 7519, section 7.2): json also accepts UTF-16 and a byte order mark.
    parsed = json.loads(
        data.decode(), object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant
    )
    if not isinstance(parsed, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one exception for every fault
    return parsed


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("duplicate key")
    return unique


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)
