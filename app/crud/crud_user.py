"""The queries of users."""

from plinth.crud import user as user_crud
from plinth.crud.users import CRUDUser

__all__ = ["CRUDUser", "user_crud"]
