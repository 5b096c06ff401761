"""Every table, so that `Base.metadata` is complete wherever it is used."""

from app.models.base import BaseModel
from plinth.models import Base, Event, Mail, OneTimeToken, Session, User

__all__ = ["Base", "BaseModel", "Event", "Mail", "OneTimeToken", "Session", "User"]
