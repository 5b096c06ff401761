"""The table of users."""

from plinth.models import User

__all__ = ["User"]
