"""The tables of accounts. `User` is the application's class, a subclass of `BaseUser`."""

from typing import TYPE_CHECKING

from plinth.accounts.base_user import load_user_model
from plinth.accounts.models.event import Event
from plinth.accounts.models.mail import Mail
from plinth.accounts.models.one_time_token import EarlierOneTimeToken, OneTimeToken
from plinth.accounts.models.session import Session
from plinth.accounts.models.session_cleanup import SessionCleanup

if TYPE_CHECKING:
    from plinth.accounts.base_user import BaseUser as User
else:
    # Last: the application's models, imported here, import the tables above.
    User = load_user_model()

__all__ = [
    "EarlierOneTimeToken",
    "Event",
    "Mail",
    "OneTimeToken",
    "Session",
    "SessionCleanup",
    "User",
]
