from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

from pydantic import BaseModel


class SessionOut(BaseModel):
    """One sign-in on one device. Each refresh extends `expires_at`, when the session ends."""

    id: UUID
    device: str
    ip: IPv4Address | IPv6Address | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    is_current: bool
