"""Access tokens: signed JWTs (RFC 9068's `at+jwt`), read strictly.

The signature is joserfc's work. What the library leaves open is closed here, before it sees the
text: the token's length, its three parts in canonical base64url, the exact set of header fields, no
key twice in an object, dates that are integers (RFC 8725, section 3).
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
MAX_CACHED_TOKENS = 4096  # tokens; some 1 KiB each


@dataclass(frozen=True, slots=True)
class AccessToken:
    user_id: int
    session_id: UUID
    expires_at: int


def issue_access_token(user_id: int, session_id: UUID) -> str:
    """A token for `ACCESS_TOKEN_EXPIRE_MINUTES`. It names a user and a session, and no right: what
    the user may do is read fresh with each request."""
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
    """One that was read before is known by its exact text, for as long as it holds, and the key
    that signed it does. Whether its session does is asked each time, elsewhere.

    Raises:
        Unauthenticated: whatever is wrong with it; the answer does not say what.
    """
    known = _known.get(text)
    if known and known[0].expires_at > time.time() and keys.ring.find(known[1].kid) is known[1]:
        return known[0]
    try:
        payload, key = open_signed(text, _find_key)
        token = _check_claims(_parse(payload))
    except (ValueError, RecursionError, JoseError):
        raise Unauthenticated from None
    if len(_known) >= MAX_CACHED_TOKENS:
        del _known[next(iter(_known))]
    _known[text] = token, key
    return token


_known: dict[str, tuple[AccessToken, keys.Key]] = {}


def open_signed(
    text: str, find_key: Callable[[dict[str, Any]], keys.Key]
) -> tuple[bytes, keys.Key]:
    """The payload of a compact JWS (RFC 7515) whose signature holds, and the key that it is of.

    Args:
        find_key: gives the key to a header, or refuses the header by a ValueError.

    Raises:
        ValueError, RecursionError, JoseError: it does not hold.
    """
    if len(text) > MAX_LENGTH or not text.isascii():
        raise ValueError("too long, or not a token's alphabet")
    header, payload, signature = text.split(".")
    key = find_key(_parse(_decode(header)))
    if not key.verifies(f"{header}.{payload}".encode(), _decode(signature)):
        raise ValueError("signature")
    return _decode(payload), key


def _find_key(header: dict[str, Any]) -> keys.Key:
    # `crit`, `jwk`, `jku`, `x5u`, `zip` and what may come: a field we do not write is refused.
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
        raise ValueError("dates are integers")
    if expires <= now or issued > now + keys.CLOCK_SKEW:
        raise ValueError("expired, or from the future")
    not_before = claims.get("nbf", issued)  # we write none; where there is one it holds
    if type(not_before) is not int or not_before > now + keys.CLOCK_SKEW:
        raise ValueError("not yet")
    if expires - issued > _lifetime():
        raise ValueError("holds for longer than we issue one for")
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
    # Base64url has spellings that decode alike; only the one that encoding gives is taken.
    data = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if _encode(data) != part:
        raise ValueError("not canonical base64url")
    return data


def _parse(data: bytes) -> dict[str, Any]:
    # Decoded here: json would take UTF-16 and a byte order mark too. RFC 7519, 7.2 has UTF-8.
    parsed = json.loads(
        data.decode(), object_pairs_hook=_refuse_twice, parse_constant=_refuse_constant
    )
    if not isinstance(parsed, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one kind of error for all that is wrong
    return parsed


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)
