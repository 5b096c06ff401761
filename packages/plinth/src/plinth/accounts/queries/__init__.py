"""The queries of accounts: `from plinth.accounts import queries`, `queries.user.get(db, id)`."""

from plinth.accounts.queries import (
    api_key,
    challenge,
    event,
    factor,
    identity,
    mail,
    one_time_token,
    passkey,
    rotation,
    session,
    session_cleanup,
    sign_in,
    user_import,
)
from plinth.accounts.queries.users import CRUDUser, user

__all__ = [
    "CRUDUser",
    "api_key",
    "challenge",
    "event",
    "factor",
    "identity",
    "mail",
    "one_time_token",
    "passkey",
    "rotation",
    "session",
    "session_cleanup",
    "sign_in",
    "user",
    "user_import",
]
