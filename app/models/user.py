"""The table `users`."""

from plinth.accounts import BaseUser

__all__ = ["User"]


class User(BaseUser):
    """A user. Add a column as `phone: Mapped[str | None]`; see docs/how-to/user-columns.md."""
