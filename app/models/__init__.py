"""All tables. Import models from here, so that `Base.metadata` is complete."""

from app.models.base import BaseModel
from app.models.user import User
from plinth.accounts.models import Event, Mail, OneTimeToken, Session
from plinth.db import Base
from plinth.organizations.models import Invitation, Membership, Organization
from plinth.resources import IdempotencyKey

__all__ = [
    "Base",
    "BaseModel",
    "Event",
    "IdempotencyKey",
    "Invitation",
    "Mail",
    "Membership",
    "OneTimeToken",
    "Organization",
    "Session",
    "User",
]
