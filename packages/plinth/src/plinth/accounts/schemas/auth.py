from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from plinth.resources.fields import AnyPassword, TypedEmail

MAX_TOKEN_LENGTH = 2048


class Credentials(BaseModel):
    email: TypedEmail
    password: AnyPassword


class PasswordForm(BaseModel):
    """OAuth 2's password grant, as the Authorize button of `/docs` sends it."""

    username: Annotated[TypedEmail, Field(description="The e-mail.")]
    password: AnyPassword
    grant_type: Literal["password"] = "password"


class RefreshRequest(BaseModel):
    refresh_token: Annotated[str, StringConstraints(max_length=MAX_TOKEN_LENGTH)]


class TokenPair(BaseModel):
    model_config = ConfigDict(
        from_attributes=True, json_schema_serialization_defaults_required=True
    )

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: Annotated[int, Field(description="Seconds for which the access token holds.")]
