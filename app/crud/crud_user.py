"""The queries of users."""

from plinth.accounts.queries import user as user_crud
from plinth.accounts.queries.users import CRUDUser

__all__ = ["CRUDUser", "user_crud"]
