"""The identity providers of `OIDC_PROVIDERS`."""

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from plinth.config.types import PagesUrl

TENANT = "{tenantid}"
GITHUB = "https://github.com"
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
NAME = re.compile(r"[a-z][a-z0-9-]{0,49}")
NATIVE = re.compile(r"[a-z][a-z0-9-]*(\.[a-z0-9-]+)+:/{0,3}[\w.~/-]+", re.ASCII)  # RFC 8252, 7.1


def is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in LOOPBACK


def is_encrypted(url: str, *, is_development: bool) -> bool:
    """Return whether a URL has https; in development, http to this machine is enough."""
    try:
        parts = urlsplit(url)
        if not parts.hostname or parts.port == 0:
            return False
    except ValueError:
        return False
    local = parts.scheme == "http" and is_development and is_loopback(url)
    return parts.scheme == "https" or local


def _check_name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError(
            "the name of a provider begins with a lower-case letter, and has 1 to 50 lower-case "
            "letters, digits and hyphens"
        )
    return text


def _check_issuer(text: str) -> str:
    _check_url(text.replace(TENANT, "tenant"))
    return text


def _check_redirect(text: str) -> str:
    return text if NATIVE.fullmatch(text) else _check_url(text)


def _check_url(text: str) -> str:
    try:
        return _url.validate_python(text)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


_url = TypeAdapter[str](PagesUrl)


IssuerUrl = Annotated[str, StringConstraints(max_length=255), AfterValidator(_check_issuer)]
RedirectUrl = Annotated[str, AfterValidator(_check_redirect)]
ProviderName = Annotated[str, AfterValidator(_check_name)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class Provider(BaseModel):
    """An identity provider.

    Attributes:
        issuer: exactly as in the discovery document. Of Microsoft with several tenants, it contains
            `{tenantid}`. Of GitHub Enterprise Server, the URL of the server.
        scopes: by default those for the name and the address.
        link_verified: link an account whose verified address the provider has verified as well.
        allow_registration: create an account at the first sign-in.
        tenants: the ids of the Microsoft tenants whose users may sign in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: Literal["oidc", "github"] = "oidc"
    issuer: IssuerUrl
    client_id: Text
    client_secret: Annotated[Text, Field(repr=False)]
    scopes: tuple[Text, ...] = ()
    link_verified: bool = False
    allow_registration: bool = True
    tenants: tuple[UUID, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _use_github(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("kind") == "github":
            return {"issuer": GITHUB, **values}
        return values

    @model_validator(mode="after")
    def _check_tenants(self) -> Self:
        if (TENANT in self.issuer) != bool(self.tenants):
            raise ValueError(f"tenants and an issuer with {TENANT} need each other")
        return self

    @property
    def issuers(self) -> frozenset[str]:
        """The issuers whose tokens are accepted."""
        if not self.tenants:
            return frozenset({self.issuer})
        return frozenset(self.issuer.replace(TENANT, str(it)) for it in self.tenants)
