"""ID tokens (OpenID Connect Core 1.0, section 3.1.3.7), parsed strictly (RFC 8725)."""

import hmac
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable
from typing import Any

from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from plinth.accounts.providers.authorization import Authorization
from plinth.accounts.providers.discovery import ALGORITHMS, Jwk
from plinth.accounts.providers.errors import ProviderRefused
from plinth.config.providers import TENANT, Provider

MAX_LENGTH = 16 * 1024
LEEWAY = 60  # seconds that the clocks may differ
MAX_AGE = 600  # seconds since the token was issued
MAX_SUBJECT_LENGTH = 255

FindKey = Callable[[str, str | None], Awaitable[Jwk]]


async def read_id_token(
    text: Any, provider: Provider, authorization: Authorization, find_key: FindKey
) -> dict[str, Any]:
    """Return the claims of a valid token.

    Args:
        authorization: the request that began the sign-in.

    Raises:
        ProviderRefused: each fault has its own reason.
        ProviderUnavailable: the keys cannot be loaded.
    """
    claims = await _open(text, find_key)
    _check_parties(claims, provider)
    now = time.time()
    _check_times(claims, now)
    _check_authentication(claims.get("auth_time"), authorization.max_age, now)
    sent, nonce = claims.get("nonce"), authorization.nonce
    if not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), nonce.encode()):
        raise ProviderRefused("ID token: wrong nonce")
    check_subject(claims.get("sub"))
    return claims


def check_subject(subject: Any) -> str:
    """
    Raises:
        ProviderRefused: not 1 to 255 visible ASCII characters (section 2).
    """
    is_text = isinstance(subject, str) and 0 < len(subject) <= MAX_SUBJECT_LENGTH
    if not is_text or not (subject.isascii() and subject.isprintable()):
        raise ProviderRefused("ID token: no valid subject")
    valid: str = subject
    return valid


async def _open(text: Any, find_key: FindKey) -> dict[str, Any]:
    if not isinstance(text, str) or len(text) > MAX_LENGTH or not text.isascii():
        raise ProviderRefused("ID token: missing or too long")
    try:
        head, body, signature = text.split(".")
        header, claims = _parse(head), _parse(body)
        signed, mac = f"{head}.{body}".encode(), _decode(signature)
    except (ValueError, RecursionError):
        raise ProviderRefused("ID token: not a signed JWT") from None
    alg, kid = header.get("alg"), header.get("kid")
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        raise ProviderRefused("ID token: algorithm not allowed")
    if "crit" in header or "b64" in header or not isinstance(kid, str | None):
        raise ProviderRefused("ID token: header not allowed")
    key = await find_key(alg, kid)
    try:
        valid = JWSRegistry.algorithms[alg].verify(signed, mac, key)
    except (JoseError, ValueError):
        valid = False
    if not valid:
        raise ProviderRefused("ID token: wrong signature")
    return claims


def _check_parties(claims: dict[str, Any], provider: Provider) -> None:
    issuer, audience, azp = claims.get("iss"), claims.get("aud"), claims.get("azp")
    if not isinstance(issuer, str) or issuer not in provider.issuers:
        raise ProviderRefused("ID token: wrong issuer")
    if provider.tenants and issuer != provider.issuer.replace(TENANT, str(claims.get("tid"))):
        raise ProviderRefused("ID token: wrong tenant")
    audiences = audience if isinstance(audience, list) else [audience]
    if provider.client_id not in audiences:
        raise ProviderRefused("ID token: wrong audience")
    if azp != provider.client_id and (azp is not None or len(audiences) > 1):
        raise ProviderRefused("ID token: wrong authorized party")


def _check_times(claims: dict[str, Any], now: float) -> None:
    issued: Any = claims.get("iat")
    expires: Any = claims.get("exp")
    not_before: Any = claims.get("nbf", issued)
    if any(type(it) not in (int, float) for it in (issued, expires, not_before)):
        raise ProviderRefused("ID token: no valid times")
    if expires <= now - LEEWAY:
        raise ProviderRefused("ID token: expired")
    if issued > now + LEEWAY or not_before > now + LEEWAY:
        raise ProviderRefused("ID token: from the future")
    if issued < now - MAX_AGE:
        raise ProviderRefused("ID token: issued too long ago")


def _check_authentication(auth_time: Any, max_age: int | None, now: float) -> None:
    if auth_time is None:
        if max_age is not None:
            raise ProviderRefused("ID token: no auth_time")
        return
    if type(auth_time) not in (int, float) or not 0 <= auth_time <= now + LEEWAY:
        raise ProviderRefused("ID token: no valid auth_time")
    if max_age is not None and auth_time < now - max_age - LEEWAY:
        raise ProviderRefused("ID token: authenticated too long ago")


def _parse(part: str) -> dict[str, Any]:
    content = json.loads(
        _decode(part), object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant
    )
    if not isinstance(content, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one type for all faults
    return content


def _decode(part: str) -> bytes:
    if not part or set(part) - _BASE64URL:
        raise ValueError("not base64url")
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


_BASE64URL = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("duplicate keys")
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
