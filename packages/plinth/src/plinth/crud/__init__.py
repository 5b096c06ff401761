"""Queries, and only queries: `from plinth import crud`, then `crud.user.get(db, id)`."""

from plinth.crud import (
    canonical_address,
    event,
    idempotency_key,
    mail,
    one_time_token,
    session,
    session_cleanup,
    sign_in,
    user_import,
)
from plinth.crud.base import CRUDBase
from plinth.crud.resource import CRUDResource
from plinth.crud.users import user

__all__ = [
    "CRUDBase",
    "CRUDResource",
    "canonical_address",
    "event",
    "idempotency_key",
    "mail",
    "one_time_token",
    "session",
    "session_cleanup",
    "sign_in",
    "user",
    "user_import",
]
