"""Every table, so that `Base.metadata` is whole wherever it is asked for."""

from plinth.models.base import Base
from plinth.models.event import Event
from plinth.models.idempotency_key import IdempotencyKey
from plinth.models.mail import Mail
from plinth.models.one_time_token import EarlierOneTimeToken, OneTimeToken
from plinth.models.session import Session
from plinth.models.session_cleanup import SessionCleanup
from plinth.models.user import User

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
