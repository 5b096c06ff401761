from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from plinth.accounts.schemas.auth import MAX_TOKEN_LENGTH

ProviderName = Annotated[str, Path(max_length=50, description="A name in `OIDC_PROVIDERS`.")]
Token = Annotated[str, StringConstraints(max_length=MAX_TOKEN_LENGTH)]
CodeChallenge = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$"),
    Field(
        description="S256 of a `code_verifier` that the client keeps (RFC 7636).",
        examples=["E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"],
    ),
]
CodeVerifier = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9._~-]{43,128}$"),
    Field(examples=["dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"]),
]
RedirectTo = Annotated[
    str,
    StringConstraints(max_length=500),
    Field(description="One of `OIDC_REDIRECT_URLS`. It receives `code`, or `error`."),
]


class OidcCode(BaseModel):
    code: Annotated[Token, Field(description="Of the redirect; valid for 60 seconds, once.")]
    code_verifier: CodeVerifier


class FlowToStart(BaseModel):
    redirect_to: RedirectTo
    code_challenge: CodeChallenge


class SignInToStart(FlowToStart):
    fresh: Annotated[
        bool,
        Field(
            description="Require that the provider authenticated the user within "
            "`STEP_UP_MINUTES`. No effect for GitHub, whose sessions are never fresh."
        ),
    ] = False


class ProviderResponse(BaseModel):
    """The parameters of a provider's response (RFC 6749, section 4.1.2; RFC 9207)."""

    # Together at most MAX_QUERY_BYTES, so that each valid request has a response of the route.
    state: Annotated[str, StringConstraints(max_length=128)] | None = None
    code: Token | None = None
    error: Annotated[str, StringConstraints(max_length=128)] | None = None
    iss: Annotated[str, StringConstraints(max_length=255)] | None = None


class LinkStarted(BaseModel):
    url: Annotated[str, Field(description="Open it in the browser within 60 seconds.")]


class IdentityOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    provider: str
    email: Annotated[str | None, Field(description="At the provider; for display only.")]
    created_at: datetime
    last_used_at: datetime | None
