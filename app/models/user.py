"""The table of users."""

from plinth.accounts import BaseUser

__all__ = ["User"]


class User(BaseUser):
    """A user. Your own columns: a name, a type and, where it may be left out, None or a default."""
