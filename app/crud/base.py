"""The queries that every table needs."""

from plinth.crud.base import CRUDBase

__all__ = ["CRUDBase"]
