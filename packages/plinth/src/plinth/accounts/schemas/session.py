from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints


class SessionOut(BaseModel):
    """One sign-in on one device. Each refresh extends `expires_at`, when the session ends."""

    id: UUID
    device: str
    ip: IPv4Address | IPv6Address | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    is_current: bool
    is_impersonation: Annotated[
        bool, Field(description="Whether a superuser started it to act as the user.")
    ]


class ImpersonationRequest(BaseModel):
    reason: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=3, max_length=200),
        Field(description="For the audit log and the notice to the user, such as a ticket."),
    ]
