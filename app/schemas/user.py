"""Users as they come in and go out."""

from plinth.schemas.page import Page
from plinth.schemas.user import PublicUser as UserBase
from plinth.schemas.user import User as UserResponse
from plinth.schemas.user import UserCreate, UserUpdate

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
