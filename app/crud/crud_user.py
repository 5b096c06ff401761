"""The queries of users."""

from plinth.accounts.queries import CRUDUser
from plinth.accounts.queries import user as user_crud

__all__ = ["CRUDUser", "user_crud"]
