from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

from pydantic import BaseModel


class SessionOut(BaseModel):
    """One sign-in on one device. It ends when it is not used until `expires_at`."""

    id: UUID
    device: str
    ip: IPv4Address | IPv6Address | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    is_current: bool
