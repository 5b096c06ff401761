"""What a route asks for, as types: `db: DB`, `user: CurrentUser`."""

from plinth.api.deps import (
    DB,
    BearerToken,
    CurrentUser,
    OptionalUser,
    ReadDB,
    RowId,
    Superuser,
    VerifiedUser,
    get_current_user,
    get_db,
    oauth2_scheme,
)
from plinth.api.deps import get_optional_user as get_current_user_optional
from plinth.api.deps import get_superuser as get_current_active_superuser

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
