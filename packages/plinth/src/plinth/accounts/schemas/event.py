from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from pydantic import BaseModel, ConfigDict


class EventOut(BaseModel):
    """An event of the audit log that concerns the user's account."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    at: datetime
    event: str
    outcome: Literal["success", "failure"]
    reason: str | None
    ip: IPv4Address | IPv6Address | None
    user_agent: str | None
