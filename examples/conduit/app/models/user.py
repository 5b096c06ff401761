"""The table `users`."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from plinth.accounts import BaseUser


class User(BaseUser):
    bio: Mapped[str | None] = mapped_column(String(10_000))
    image: Mapped[str | None] = mapped_column(String(2000))
