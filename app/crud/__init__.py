"""The queries: `from app import crud`, then `await crud.user.get(db, user_id)`."""

from plinth.crud import CRUDBase, CRUDResource, user

__all__ = ["CRUDBase", "CRUDResource", "user"]
