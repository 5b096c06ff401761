"""Passkeys as browsers read and write them in JSON (WebAuthn Level 3, section 5.1).

`PublicKeyCredential` has `toJSON()`, `parseCreationOptionsFromJSON()` and
`parseRequestOptionsFromJSON()` for these forms.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

from plinth.security.webauthn import ALGORITHMS, Assertion, Registration

UNPADDED = r"^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2,3})?$"


@dataclass(frozen=True, slots=True)
class _Base64Url:
    """Bytes in base64url without padding, as a type's metadata."""

    max_bytes: int

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        longest = (self.max_bytes * 4 + 2) // 3
        text = core_schema.str_schema(pattern=UNPADDED, max_length=longest)
        return core_schema.no_info_after_validator_function(decode, text)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(schema) | {"examples": ["AQIDBA"]}


def decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class _Json(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


ClientData = Annotated[bytes, _Base64Url(3000), Field(alias="clientDataJSON")]
Transport = Annotated[str, StringConstraints(max_length=50)]


class AttestationResponse(_Json):
    client_data: ClientData
    attestation_object: Annotated[bytes, _Base64Url(8000)]
    transports: Annotated[list[Transport], Field(max_length=20)] = []


class RegistrationCredential(_Json):
    """The JSON form of the result of `navigator.credentials.create()`."""

    response: AttestationResponse

    @property
    def content(self) -> Registration:
        sent = self.response
        return Registration(sent.client_data, sent.attestation_object, sent.transports)


class AssertionResponse(_Json):
    client_data: ClientData
    authenticator_data: Annotated[bytes, _Base64Url(2000)]
    signature: Annotated[bytes, _Base64Url(1000)]
    user_handle: Annotated[bytes, _Base64Url(64)] | None = None


class AssertionCredential(_Json):
    """The JSON form of the result of `navigator.credentials.get()`."""

    id: Annotated[bytes, _Base64Url(1023)]
    response: AssertionResponse

    @property
    def content(self) -> Assertion:
        sent = self.response
        return Assertion(
            self.id, sent.client_data, sent.authenticator_data, sent.signature, sent.user_handle
        )


class Descriptor(_Json):
    id: str
    type: Literal["public-key"] = "public-key"
    transports: list[str]


class RelyingPartyEntity(_Json):
    id: str
    name: str


class UserEntity(_Json):
    id: str
    name: str
    display_name: str


class Parameters(_Json):
    type: Literal["public-key"] = "public-key"
    alg: int


class Selection(_Json):
    resident_key: Literal["required"] = "required"
    require_resident_key: Literal[True] = True
    user_verification: Literal["preferred"] = "preferred"


class CreationOptions(_Json):
    """For `PublicKeyCredential.parseCreationOptionsFromJSON()`."""

    rp: RelyingPartyEntity
    user: UserEntity
    challenge: str
    pub_key_cred_params: list[Parameters] = [Parameters(alg=it) for it in ALGORITHMS]
    timeout: Annotated[int, Field(description="Milliseconds.")]
    exclude_credentials: list[Descriptor]
    authenticator_selection: Selection = Selection()
    attestation: Literal["none"] = "none"


class RequestOptions(_Json):
    """For `PublicKeyCredential.parseRequestOptionsFromJSON()`."""

    challenge: str
    timeout: Annotated[int, Field(description="Milliseconds.")]
    rp_id: str
    allow_credentials: list[Descriptor]
    user_verification: Literal["required", "preferred"]
