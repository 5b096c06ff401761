"""The queries: `from app import crud`, then `await crud.user.get(db, user_id)`."""

from plinth.accounts.queries import user
from plinth.resources.base import CRUDBase
from plinth.resources.crud import CRUDResource

__all__ = ["CRUDBase", "CRUDResource", "user"]
