"""Every table, so that `Base.metadata` is whole wherever it is asked for."""

from app.models.base import Base
from app.models.event import Event
from app.models.idempotency_key import IdempotencyKey
from app.models.mail import Mail
from app.models.one_time_token import EarlierOneTimeToken, OneTimeToken
from app.models.session import Session
from app.models.session_cleanup import SessionCleanup
from app.models.user import User

__all__ = [
    "Base",
    "EarlierOneTimeToken",
    "Event",
    "IdempotencyKey",
    "Mail",
    "OneTimeToken",
    "Session",
    "SessionCleanup",
    "User",
]
