"""The discovery document and the keys of a provider (OpenID Connect Discovery 1.0)."""

import asyncio
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from plinth.accounts.providers.errors import ProviderRefused
from plinth.accounts.providers.http import request_json
from plinth.config import settings
from plinth.config.providers import TENANT, Provider, is_encrypted

CACHE_SECONDS = 3600.0
MIN_REFETCH_SECONDS = 60.0  # between two requests because of an unknown key
MAX_KEYS = 100
MAX_REASON_LENGTH = 255  # characters of a value of the provider
MIN_MODULUS_LENGTH = 342  # base64url characters of 2048 bits
ALGORITHMS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", "")),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}
"""The accepted algorithms with their type of key and curve. All are asymmetric."""

Jwk = RSAKey | ECKey | OKPKey
KINDS: dict[str, type[Jwk]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}


@dataclass(frozen=True, slots=True)
class Metadata:
    """
    Attributes:
        sends_issuer: the response of the authorization has the parameter `iss` (RFC 9207).
        takes_basic: the token endpoint accepts HTTP Basic authentication.
    """

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    sends_issuer: bool
    takes_basic: bool


@dataclass(frozen=True, slots=True)
class PublicKey:
    """
    Attributes:
        alg: None if the key is for each algorithm of its type.
    """

    kid: str | None
    alg: str | None
    jwk: Jwk


@dataclass(slots=True)
class Documents:
    """The documents of a provider, cached for `CACHE_SECONDS`."""

    provider: Provider
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _metadata: Metadata | None = None
    _metadata_at: float = 0
    _keys: tuple[PublicKey, ...] = ()
    _keys_at: float | None = None
    _refetched_at: float | None = None

    async def get_metadata(self) -> Metadata:
        """
        Raises:
            ProviderRefused
            ProviderUnavailable
        """
        async with self._lock:
            now = monotonic()
            if self._metadata is None or now >= self._metadata_at + CACHE_SECONDS:
                self._metadata = await _fetch_metadata(self.provider)
                self._metadata_at = now
            return self._metadata

    async def find_key(self, alg: str, kid: str | None) -> Jwk:
        """Return the key of a token. After a rotation of the keys, request them again.

        An unknown key causes a request at most every `MIN_REFETCH_SECONDS`: anyone can send one.

        Raises:
            ProviderRefused
            ProviderUnavailable
        """
        uri = (await self.get_metadata()).jwks_uri
        async with self._lock:
            if self._keys_at is None or monotonic() >= self._keys_at + CACHE_SECONDS:
                await self._fetch_keys(uri)
            elif _find(self._keys, alg, kid) is None and self._may_refetch():
                self._refetched_at = monotonic()
                await self._fetch_keys(uri)
        key = _find(self._keys, alg, kid)
        if key is None:
            raise ProviderRefused("ID token: unknown key")
        return key

    def _may_refetch(self) -> bool:
        last = self._refetched_at
        return last is None or monotonic() >= last + MIN_REFETCH_SECONDS

    async def _fetch_keys(self, uri: str) -> None:
        self._keys = _read_keys(await request_json("GET", uri))
        self._keys_at = monotonic()


_documents: dict[Provider, Documents] = {}


def documents_of(provider: Provider) -> Documents:
    return _documents.setdefault(provider, Documents(provider))


async def _fetch_metadata(provider: Provider) -> Metadata:
    base = provider.issuer.replace(TENANT, "common").rstrip("/")
    document = await request_json("GET", f"{base}/.well-known/openid-configuration")
    if not isinstance(document, dict):
        raise ProviderRefused("discovery document: not an object")
    if document.get("issuer") != provider.issuer:
        found = repr(document.get("issuer"))[:MAX_REASON_LENGTH]
        raise ProviderRefused(f"discovery document: the issuer is {found}, not {provider.issuer!r}")
    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    if not isinstance(methods, list):
        raise ProviderRefused("discovery document: token_endpoint_auth_methods_supported")
    return Metadata(
        authorization_endpoint=_read_url(document, "authorization_endpoint"),
        token_endpoint=_read_url(document, "token_endpoint"),
        jwks_uri=_read_url(document, "jwks_uri"),
        userinfo_endpoint=(
            _read_url(document, "userinfo_endpoint") if "userinfo_endpoint" in document else None
        ),
        sends_issuer=document.get("authorization_response_iss_parameter_supported") is True,
        takes_basic="client_secret_basic" in methods,
    )


def _read_url(document: dict[str, Any], name: str) -> str:
    url = document.get(name)
    if not isinstance(url, str) or not is_encrypted(url, is_development=settings.is_development):
        raise ProviderRefused(f"discovery document: {name} is not a URL with https")
    return url


def _read_keys(document: Any) -> tuple[PublicKey, ...]:
    """Return the keys that can verify a signature. A set may have others as well."""
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise ProviderRefused("document of keys: no list of keys")
    return tuple(key for it in keys[:MAX_KEYS] if (key := _read_key(it)))


def _read_key(member: Any) -> PublicKey | None:
    if not isinstance(member, dict) or member.get("use", "sig") != "sig":
        return None
    kid, alg, kty = member.get("kid"), member.get("alg"), member.get("kty")
    if not isinstance(kty, str) or kty not in KINDS or not isinstance(kid, str | None):
        return None
    if kty == "RSA" and len(str(member.get("n", ""))) < MIN_MODULUS_LENGTH:
        return None
    try:
        jwk = KINDS[kty].import_key({name: member[name] for name in member if name in _PARTS})
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return PublicKey(kid, alg if isinstance(alg, str) else None, jwk)


_PARTS = frozenset({"kty", "n", "e", "crv", "x", "y"})


def _find(keys: tuple[PublicKey, ...], alg: str, kid: str | None) -> Jwk | None:
    """Return the only key that fits; without `kid`, the set must have a single one."""
    fitting = [
        key.jwk
        for key in keys
        if (kid is None or key.kid == kid) and key.alg in (None, alg) and _fits(key.jwk, alg)
    ]
    return fitting[0] if len(fitting) == 1 else None


def _fits(jwk: Jwk, alg: str) -> bool:
    kty, curve = ALGORITHMS[alg]
    return jwk.key_type == kty and (isinstance(jwk, RSAKey) or jwk.curve_name == curve)
