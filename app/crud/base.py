"""The generic queries of a table."""

from plinth.resources import CRUDBase

__all__ = ["CRUDBase"]
