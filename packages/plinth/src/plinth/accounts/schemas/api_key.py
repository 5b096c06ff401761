from datetime import date, datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    MISSING,
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from plinth.config import settings
from plinth.config.organization_roles import PERMISSION
from plinth.resources.fields import Label

MAX_SCOPES = 100  # of one key
MAX_NETWORKS = 50
DEFAULT_DAYS = 90
MAX_KEY_LENGTH = 200


def _read_network(value: Any) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("must be a network, such as 192.0.2.0/24 or 2001:db8::/32") from None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped:
        raise ValueError("is an IPv4-mapped IPv6 network: write it as IPv4, such as 192.0.2.0/24")
    return network


def _remove_duplicates(items: list[Any]) -> list[Any]:
    return list(dict.fromkeys(items))


Network = Annotated[
    IPv4Network | IPv6Network,
    BeforeValidator(_read_network),
    WithJsonSchema({"type": "string", "examples": ["0.0.0.0/0"]}),
]
Scope = Annotated[
    str,
    StringConstraints(pattern=f"^{PERMISSION.pattern}$"),
    # http/openapi.py lists those of the application.
    Field(json_schema_extra={"format": "permission"}),
]
Scopes = Annotated[
    list[Scope],
    Field(min_length=1, max_length=MAX_SCOPES),
    AfterValidator(_remove_duplicates),
]
Networks = Annotated[
    list[Network], Field(max_length=MAX_NETWORKS), AfterValidator(_remove_duplicates)
]
Lifetime = Annotated[
    int, Field(ge=1, le=settings.API_KEY_MAX_DAYS, description="Days until the key expires.")
]


class ApiKeyToCreate(BaseModel):
    name: Label
    scopes: Annotated[Scopes, Field(description="Permissions that routes declare.")]
    networks: Annotated[
        Networks, Field(description="The networks that may use the key; all if it is empty.")
    ] = []
    expires_in_days: Lifetime = min(DEFAULT_DAYS, settings.API_KEY_MAX_DAYS)


class ApiKeyChanges(BaseModel):
    """Fields that are left out stay as they are."""

    name: Label | MISSING = MISSING
    scopes: Scopes | MISSING = MISSING
    networks: Networks | MISSING = MISSING


class ApiKeyOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    prefix: str = Field(description="The beginning of the key, by which you recognize it.")
    scopes: list[str]
    networks: list[str]
    created_at: datetime
    expires_at: datetime
    last_used_on: date | None = Field(description="In UTC.")


class NewApiKeyOut(ApiKeyOut):
    key: str = Field(description="The key. It is shown only now.")


class FoundApiKey(BaseModel):
    key: Annotated[str, StringConstraints(max_length=MAX_KEY_LENGTH)]
