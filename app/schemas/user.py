"""Users as they come in and go out."""

from plinth.accounts.schemas.user import PublicUser as UserBase
from plinth.accounts.schemas.user import User as UserResponse
from plinth.accounts.schemas.user import UserCreate, UserUpdate
from plinth.resources.pages import Page

__all__ = [
    "UserBase",
    "UserCreate",
    "UserInDB",
    "UserListResponse",
    "UserResponse",
    "UserUpdate",
]


class UserInDB(UserResponse):
    """A user as stored. Never a response: it has the hash."""

    hashed_password: str


UserListResponse = Page[UserResponse]
