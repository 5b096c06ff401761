"""Request and response bodies of users. Add a column of yours to each class that has it."""

from plinth.accounts.schemas import user as base
from plinth.resources import Page

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
    """The body of a registration. Unknown keys, such as `is_superuser`, are ignored."""


class UserUpdate(base.UserUpdate):
    """The fields that users may change of themselves; omitted fields stay."""


class UserAdminUpdate(base.UserAdminUpdate):
    """The fields that superusers may change of others: never the password or e-mail."""


class PublicUser(base.PublicUser):
    """The fields that every signed-in user may see."""


class User(base.User):
    """The fields that the user and superusers may see."""


class UserInDB(User):
    """A user as stored, with the password hash. Never use it as a response."""

    hashed_password: str


UserBase = PublicUser
UserResponse = User
UserListResponse = Page[User]
