"""Queries: `from app import crud`, then `await crud.user.get(db, user_id)`."""

from plinth.accounts.queries import user
from plinth.resources import CRUDBase, CRUDResource

__all__ = ["CRUDBase", "CRUDResource", "user"]
