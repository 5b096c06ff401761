"""Every table, so that `Base.metadata` is complete wherever it is used."""

from app.models.base import BaseModel
from app.models.user import User
from plinth.accounts.models import Event, Mail, OneTimeToken, Session
from plinth.db.models import Base
from plinth.resources.idempotency_key import IdempotencyKey

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
