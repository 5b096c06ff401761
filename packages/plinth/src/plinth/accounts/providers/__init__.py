"""Identity providers: OpenID Connect, and OAuth of GitHub.

The functions hold no database connection. `accounts/services/identities` decides which user an
account at a provider signs in.
"""

from collections.abc import Iterable

from plinth.accounts.providers import github, oidc
from plinth.accounts.providers.authorization import Authorization, make_challenge
from plinth.accounts.providers.errors import ProviderRefused, ProviderUnavailable
from plinth.accounts.providers.http import bounded
from plinth.accounts.providers.profile import Profile
from plinth.config import settings
from plinth.config.providers import Provider
from plinth.errors import NotFound

__all__ = [
    "Authorization",
    "Profile",
    "ProviderNotFound",
    "ProviderRefused",
    "ProviderUnavailable",
    "find",
    "find_timed",
    "load_profile",
    "make_challenge",
    "make_url",
]


class ProviderNotFound(NotFound):
    code = "provider_not_found"
    detail = "There is no identity provider with this name"


def find(name: str) -> Provider:
    """
    Raises:
        ProviderNotFound: not in `OIDC_PROVIDERS`.
    """
    provider: Provider | None = settings.OIDC_PROVIDERS.get(name)
    if provider is None:
        raise ProviderNotFound
    return provider


def find_timed(names: Iterable[str]) -> list[str]:
    """Return the providers that can state when they authenticated the user. GitHub cannot.

    An OpenID provider may omit the time, and is then refused a sign-in with `fresh=true`.
    """
    known = settings.OIDC_PROVIDERS
    return [it for it in dict.fromkeys(names) if it in known and known[it].kind == "oidc"]


async def make_url(provider: Provider, authorization: Authorization, state: str) -> str:
    """Return the URL of the provider at which a user signs in.

    Raises:
        ProviderRefused: the provider's documents are not valid.
        ProviderUnavailable
    """
    if provider.kind == "github":
        return github.make_url(provider, authorization, state)
    async with bounded(provider):
        return await oidc.make_url(provider, authorization, state)


async def load_profile(
    provider: Provider, authorization: Authorization, code: str, issuer: str | None
) -> Profile:
    """Exchange the code of a response, and return the account at the provider.

    Args:
        issuer: the parameter `iss` of the response. GitHub's is not checked: the callback of each
            provider has its own path.

    Raises:
        ProviderRefused
        ProviderUnavailable
    """
    async with bounded(provider):
        if provider.kind == "github":
            return await github.load_profile(provider, authorization, code)
        await oidc.check_issuer(provider, issuer)
        return await oidc.load_profile(provider, authorization, code)
