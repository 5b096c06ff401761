from datetime import datetime

from pydantic import MISSING, BaseModel, ConfigDict

from plinth.resources.fields import AnyPassword, Email, FullName, NewPassword, Username


class UserCreate(BaseModel):
    """The data of a registration.

    Unknown keys are ignored, since existing clients send `is_superuser`.
    """

    email: Email
    username: Username
    password: NewPassword
    full_name: FullName | None = None


class UserUpdate(BaseModel):
    """Changes of a user's own profile. Fields that are left out stay as they are."""

    email: Email | MISSING = MISSING
    username: Username | MISSING = MISSING
    full_name: FullName | MISSING | None = MISSING
    password: NewPassword | MISSING = MISSING
    current_password: AnyPassword | None = None


class UserAdminUpdate(BaseModel):
    """Changes by a superuser. A superuser may not change the password or the e-mail of a user."""

    username: Username | MISSING = MISSING
    full_name: FullName | MISSING | None = MISSING
    is_active: bool | MISSING = MISSING
    is_superuser: bool | MISSING = MISSING
    is_verified: bool | MISSING = MISSING


class PublicUser(BaseModel):
    """A user as seen by any other signed-in user."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    username: str
    full_name: str | None


class User(BaseModel):
    """A user as seen by themselves and by superusers."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    email: str
    username: str
    full_name: str | None
    is_active: bool
    is_superuser: bool
    is_verified: bool
    created_at: datetime
