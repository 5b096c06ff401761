"""The routes under `/users`."""

from plinth.accounts.routes.users import router

__all__ = ["router"]
