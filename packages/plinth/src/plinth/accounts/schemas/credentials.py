from typing import Annotated

from pydantic import BaseModel, StringConstraints

from plinth.accounts.schemas.auth import MAX_TOKEN_LENGTH
from plinth.resources.fields import NewPassword, TypedEmail

MailToken = Annotated[str, StringConstraints(max_length=MAX_TOKEN_LENGTH)]
"""What stands after `#token=` in a mail's link."""


class ForgottenPassword(BaseModel):
    email: TypedEmail


class PasswordReset(BaseModel):
    token: MailToken
    password: NewPassword


class EmailVerification(BaseModel):
    token: MailToken


class Accepted(BaseModel):
    message: str
