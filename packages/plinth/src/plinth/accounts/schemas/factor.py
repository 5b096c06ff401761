from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag

from plinth.accounts.schemas.auth import MAX_TOKEN_LENGTH
from plinth.accounts.schemas.passkey import AssertionCredential, RegistrationCredential
from plinth.resources.fields import AnyPassword, Label
from plinth.security.webauthn import Assertion

Code = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=50),
    Field(description="A code of an authenticator app (six digits), or a recovery code."),
]
ChallengeText = Annotated[
    str,
    StringConstraints(max_length=MAX_TOKEN_LENGTH),
    Field(description="`challenge` of the response `mfa_required`."),
]


class SecondFactor(BaseModel):
    challenge: ChallengeText
    method: Literal["totp", "recovery_code"] = "totp"
    code: Code


class PasskeyFactor(BaseModel):
    challenge: ChallengeText
    method: Literal["passkey"]
    credential: AssertionCredential


class NewPasskeyFactor(BaseModel):
    challenge: ChallengeText
    method: Literal["new_passkey"]
    name: Label = "Passkey"
    credential: RegistrationCredential


def _find_method(sent: Any) -> str:
    """Return the tag of the method. The code is the default, so a faulty body is judged as one."""
    method = sent.get("method") if isinstance(sent, dict) else None
    return method if method in ("passkey", "new_passkey") else "code"


AnyFactor = Annotated[
    Annotated[SecondFactor, Tag("code")]
    | Annotated[PasskeyFactor, Tag("passkey")]
    | Annotated[NewPasskeyFactor, Tag("new_passkey")],
    Discriminator(_find_method),
]


class FactorName(BaseModel):
    name: Label


class PasskeyToAdd(BaseModel):
    name: Label = "Passkey"
    credential: RegistrationCredential


class PendingSignIn(BaseModel):
    challenge: ChallengeText


class FactorToAdd(BaseModel):
    name: Label = "Authenticator app"


class FirstFactor(FactorToAdd):
    challenge: ChallengeText


class FactorCode(BaseModel):
    code: Code


class PasswordProof(BaseModel):
    method: Literal["password"]
    password: AnyPassword

    @property
    def secret(self) -> str:
        return self.password


class CodeProof(BaseModel):
    method: Literal["totp", "recovery_code"]
    code: Code

    @property
    def secret(self) -> str:
        return self.code


class PasskeyProof(BaseModel):
    method: Literal["passkey"]
    credential: AssertionCredential

    @property
    def secret(self) -> Assertion:
        return self.credential.content


StepUp = Annotated[PasswordProof | CodeProof | PasskeyProof, Field(discriminator="method")]


class FactorOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: str
    name: str
    created_at: datetime
    confirmed_at: Annotated[
        datetime | None, Field(description="The factor counts from then on; null before.")
    ]
    last_used_at: datetime | None


class NewTotpOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    secret: Annotated[str, Field(description="In base32, to be typed into an app.")]
    uri: Annotated[str, Field(description="The `otpauth://` URI.")]
    qr: Annotated[str, Field(description="The URI as a QR code: an SVG element.")]


class RecoveryCodes(BaseModel):
    codes: Annotated[list[str], Field(description="Shown once; each can be used once.")]
