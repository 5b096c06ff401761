"""Queries, and only queries: `from app import crud`, then `crud.user.get(db, id)`."""

from app.crud import (
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
from app.crud.base import CRUDBase
from app.crud.resource import CRUDResource
from app.crud.user import user

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
