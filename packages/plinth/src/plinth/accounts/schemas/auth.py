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


class EmailCodeRequest(BaseModel):
    email: TypedEmail


class EmailCodeRequested(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    challenge: Annotated[
        str,
        Field(description="For `POST /auth/email-code/verify`. Keep it in this browser."),
    ]
    expires_at: Annotated[int, Field(description="Unix time in seconds.")]


class EmailCode(BaseModel):
    challenge: Annotated[
        str,
        StringConstraints(max_length=MAX_TOKEN_LENGTH),
        Field(description="`challenge` of the response of `POST /auth/email-code`."),
    ]
    code: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=50),
        Field(description="The eight digits in the mail, also after `#token=` in its link."),
    ]


class Accepted(BaseModel):
    message: str
