"""OpenID providers (OpenID Connect Core 1.0)."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

from plinth.accounts.providers.authorization import Authorization
from plinth.accounts.providers.discovery import Metadata, documents_of
from plinth.accounts.providers.errors import ProviderRefused
from plinth.accounts.providers.http import request_json
from plinth.accounts.providers.id_token import read_id_token
from plinth.accounts.providers.profile import Profile, make_profile
from plinth.config.providers import TENANT, Provider

SCOPES = ("openid", "email", "profile")


async def make_url(provider: Provider, authorization: Authorization, state: str) -> str:
    metadata = await documents_of(provider).get_metadata()
    return authorization.make_url(metadata.authorization_endpoint, provider, SCOPES, state)


async def check_issuer(provider: Provider, issuer: str | None) -> None:
    """Check the parameter `iss` of a response, which prevents a mix-up of providers (RFC 9207)."""
    if issuer is None:
        if (await documents_of(provider).get_metadata()).sends_issuer:
            raise ProviderRefused("response without iss")
    elif issuer not in {provider.issuer, *provider.issuers} or TENANT in issuer:
        raise ProviderRefused("response of another issuer")


async def load_profile(provider: Provider, authorization: Authorization, code: str) -> Profile:
    documents = documents_of(provider)
    metadata = await documents.get_metadata()
    tokens = await _redeem(provider, metadata, authorization, code)
    token = tokens.get("id_token")
    claims = await read_id_token(token, provider, authorization, documents.find_key)
    auth_time = claims.get("auth_time")  # never of the userinfo endpoint, which is not checked
    if "email" not in claims and metadata.userinfo_endpoint:
        claims = await _add_userinfo(claims, metadata.userinfo_endpoint, tokens)
    username = claims.get("preferred_username")
    return make_profile(
        claims["iss"],
        claims["sub"],
        email=claims.get("email"),
        email_verified=claims.get("email_verified"),
        username=None if "@" in str(username) else username,  # other users see it
        full_name=claims.get("name"),
        auth_time=auth_time,
    )


async def _redeem(
    provider: Provider, metadata: Metadata, authorization: Authorization, code: str
) -> Mapping[str, Any]:
    form, headers = authorization.make_form(provider, code), {}
    if metadata.takes_basic:  # RFC 6749, section 2.3.1
        pair = f"{quote_plus(provider.client_id)}:{quote_plus(provider.client_secret)}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    else:
        form["client_secret"] = provider.client_secret
    tokens = await request_json("POST", metadata.token_endpoint, form=form, headers=headers)
    if not isinstance(tokens, dict):
        raise ProviderRefused("response with tokens is not an object")
    return tokens


async def _add_userinfo(
    claims: dict[str, Any], endpoint: str, tokens: Mapping[str, Any]
) -> dict[str, Any]:
    """Add the claims that the provider sends only from its userinfo endpoint.

    The ID token takes precedence, but its `email_verified` is not about an address from here. The
    response must be of the same subject (section 5.3.4).
    """
    token = tokens.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise ProviderRefused("response without an access token")
    headers = {"Authorization": f"Bearer {token}"}
    userinfo = await request_json("GET", endpoint, headers=headers)
    if not isinstance(userinfo, dict) or userinfo.get("sub") != claims["sub"]:
        raise ProviderRefused("userinfo of another subject")
    claims.pop("email_verified", None)
    return {**userinfo, **claims}
