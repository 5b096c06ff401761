"""GitHub and GitHub Enterprise Server, which have OAuth but no ID tokens."""

from typing import Any

from plinth.accounts.providers.authorization import Authorization
from plinth.accounts.providers.errors import ProviderRefused
from plinth.accounts.providers.http import request_json
from plinth.accounts.providers.profile import Profile, make_profile
from plinth.config.providers import GITHUB, Provider

SCOPES = ("read:user", "user:email")


def make_url(provider: Provider, authorization: Authorization, state: str) -> str:
    endpoint = f"{provider.issuer.rstrip('/')}/login/oauth/authorize"
    return authorization.make_url(endpoint, provider, SCOPES, state)


async def load_profile(provider: Provider, authorization: Authorization, code: str) -> Profile:
    form = {**authorization.make_form(provider, code), "client_secret": provider.client_secret}
    endpoint = f"{provider.issuer.rstrip('/')}/login/oauth/access_token"
    tokens = await request_json("POST", endpoint, form=form)
    token = tokens.get("access_token") if isinstance(tokens, dict) else None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise ProviderRefused("response without an access token")  # such as a code used before
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
    api = _api_of(provider)
    user = await request_json("GET", f"{api}/user", headers=headers)
    number = user.get("id") if isinstance(user, dict) else None
    if type(number) is not int or number < 1:
        raise ProviderRefused("account of GitHub without a numeric id")
    emails = await request_json("GET", f"{api}/user/emails", headers=headers)
    primary = _find_primary(emails)
    return make_profile(
        provider.issuer,
        str(number),  # the login can be renamed and then belongs to someone else
        email=primary.get("email"),
        email_verified=primary.get("verified"),
        username=user.get("login"),
        full_name=user.get("name"),
    )


def _api_of(provider: Provider) -> str:
    server = provider.issuer.rstrip("/")
    return "https://api.github.com" if server == GITHUB else f"{server}/api/v3"


def _find_primary(emails: Any) -> dict[str, Any]:
    rows = emails if isinstance(emails, list) else []
    return next((it for it in rows if isinstance(it, dict) and it.get("primary") is True), {})
