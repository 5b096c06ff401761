from typing import Annotated

from pydantic import BaseModel, StringConstraints

from app.schemas.auth import LONGEST_TOKEN
from app.schemas.fields import Line, NewPassword

MailToken = Annotated[str, StringConstraints(max_length=LONGEST_TOKEN)]
"""What stands after `#token=` in a mail's link."""


class ForgottenPassword(BaseModel):
    # No check that it is an address: what is none is an unknown one, and answers alike.
    email: Annotated[Line, StringConstraints(max_length=255)]


class PasswordReset(BaseModel):
    token: MailToken
    password: NewPassword


class EmailVerification(BaseModel):
    token: MailToken


class Accepted(BaseModel):
    message: str
