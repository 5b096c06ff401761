"""Every table, so that `Base.metadata` is complete wherever it is used."""

from app.models.base import BaseModel
from plinth.accounts.models import Event, Mail, OneTimeToken, Session, User
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
