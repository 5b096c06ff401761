"""The routes under `/users`."""

from plinth.api.v1.users import router

__all__ = ["router"]
