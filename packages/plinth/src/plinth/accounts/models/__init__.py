"""The tables of accounts."""

from plinth.accounts.models.event import Event
from plinth.accounts.models.mail import Mail
from plinth.accounts.models.one_time_token import EarlierOneTimeToken, OneTimeToken
from plinth.accounts.models.session import Session
from plinth.accounts.models.session_cleanup import SessionCleanup
from plinth.accounts.models.user import User

__all__ = [
    "EarlierOneTimeToken",
    "Event",
    "Mail",
    "OneTimeToken",
    "Session",
    "SessionCleanup",
    "User",
]
