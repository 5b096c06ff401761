"""What a route asks for, as types: `db: DB`, `user: CurrentUser`."""

from plinth.accounts.deps import (
    BearerToken,
    CurrentUser,
    OptionalUser,
    Superuser,
    VerifiedUser,
    get_current_user,
    oauth2_scheme,
)
from plinth.accounts.deps import get_optional_user as get_current_user_optional
from plinth.accounts.deps import get_superuser as get_current_active_superuser
from plinth.resources.deps import DB, ReadDB, RowId, get_db

__all__ = [
    "DB",
    "BearerToken",
    "CurrentUser",
    "OptionalUser",
    "ReadDB",
    "RowId",
    "Superuser",
    "VerifiedUser",
    "get_current_active_superuser",
    "get_current_user",
    "get_current_user_optional",
    "get_db",
    "oauth2_scheme",
]
