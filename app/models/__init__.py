"""All tables. Import models from here, so that `Base.metadata` is complete."""

from app.models.base import BaseModel
from app.models.user import User
from plinth.accounts.models import Event, Mail, OneTimeToken, Session
from plinth.db import Base
from plinth.resources import IdempotencyKey

__all__ = [
    "Base",
    "BaseModel",
    "Event",
    "IdempotencyKey",
    "Mail",
    "OneTimeToken",
    "Session",
    "User",
]
