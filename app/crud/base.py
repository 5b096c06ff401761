"""The queries that every table needs."""

from plinth.resources.base import CRUDBase

__all__ = ["CRUDBase"]
