"""Users as they come in and go out. A column of yours is a line in each class that has it."""

from plinth.accounts.schemas import user as base
from plinth.resources.pages import Page

__all__ = [
    "PublicUser",
    "User",
    "UserAdminUpdate",
    "UserBase",
    "UserCreate",
    "UserInDB",
    "UserListResponse",
    "UserResponse",
    "UserUpdate",
]


class UserCreate(base.UserCreate):
    """What a person who registers may say. Other keys are not an error: people's clients send
    `is_superuser` as the guide's do, and it changes nothing."""


class UserUpdate(base.UserUpdate):
    """Any of these; what is left out stays."""


class UserAdminUpdate(base.UserAdminUpdate):
    """What a superuser may change of another: never the password, never the e-mail."""


class PublicUser(base.PublicUser):
    """What anyone who is signed in may know of another."""


class User(base.User):
    """A user as seen by themselves and by superusers."""


class UserInDB(User):
    """A user as stored. Never a response: it has the hash."""

    hashed_password: str


UserBase = PublicUser
UserResponse = User
UserListResponse = Page[User]
