"""One authorization of a user at a provider (RFC 6749, section 4.1; RFC 7636)."""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Self
from urllib.parse import urlencode

from plinth.config.providers import Provider

SECRET_BYTES = 32
AUTH_TIME = '{"id_token":{"auth_time":{"essential":true}}}'  # OpenID Connect Core 1.0, section 5.5


@dataclass(frozen=True, slots=True)
class Authorization:
    """
    Attributes:
        nonce: the ID token must repeat it.
        verifier: the secret of PKCE, which the code is bound to.
        redirect_uri: our callback for this provider.
        max_age: the provider must authenticate a user again whose last authentication is older, in
            seconds (OpenID Connect Core 1.0, section 3.1.2.1); None to accept any.
    """

    nonce: str
    verifier: str
    redirect_uri: str
    max_age: int | None = None

    @classmethod
    def make(cls, redirect_uri: str, max_age: int | None = None) -> Self:
        return cls(token_urlsafe(SECRET_BYTES), token_urlsafe(SECRET_BYTES), redirect_uri, max_age)

    def make_url(self, endpoint: str, provider: Provider, scopes: Sequence[str], state: str) -> str:
        query = {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": " ".join(provider.scopes or scopes),
            "state": state,
            "nonce": self.nonce,
            "code_challenge": make_challenge(self.verifier),
            "code_challenge_method": "S256",
        }
        if self.max_age is not None:
            query["max_age"] = str(self.max_age)
            query["claims"] = AUTH_TIME  # Google sends it only on request
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    def make_form(self, provider: Provider, code: str) -> dict[str, str]:
        """Return the form that exchanges the code, without the client's authentication."""
        return {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "client_id": provider.client_id,
            "code_verifier": self.verifier,
        }


def make_challenge(verifier: str) -> str:
    """Return the S256 code challenge of a verifier (RFC 7636, section 4.2)."""
    digest = hashlib.sha256(verifier.encode(errors="surrogatepass")).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
