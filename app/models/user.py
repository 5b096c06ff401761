"""The table of users."""

from plinth.accounts.models import User

__all__ = ["User"]
