from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from plinth.resources.fields import AnyPassword, NewPassword, TypedEmail

MAX_TOKEN_LENGTH = 2048
MailToken = Annotated[str, StringConstraints(max_length=MAX_TOKEN_LENGTH)]
"""The token after `#token=` in the link of a mail."""


class Credentials(BaseModel):
    email: TypedEmail
    password: AnyPassword


class PasswordForm(BaseModel):
    """The form of the OAuth 2.0 password grant (RFC 6749, section 4.3.2)."""

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
    expires_in: Annotated[int, Field(description="Lifetime of the access token in seconds.")]


class CsrfToken(BaseModel):
    csrf_token: str


class ForgottenPassword(BaseModel):
    email: TypedEmail


class PasswordReset(BaseModel):
    token: MailToken
    password: NewPassword


class EmailVerification(BaseModel):
    token: MailToken


class Accepted(BaseModel):
    message: str
