from datetime import datetime

from pydantic import MISSING, BaseModel, ConfigDict

from plinth.resources.fields import AnyPassword, Email, FullName, NewPassword, Username


class UserCreate(BaseModel):
    """What a person who registers may say. Other keys are not an error: people's clients send
    `is_superuser` as the guide's do, and it changes nothing."""

    email: Email
    username: Username
    password: NewPassword
    full_name: FullName | None = None


class UserUpdate(BaseModel):
    """Any of these; what is left out stays."""

    email: Email | MISSING = MISSING
    username: Username | MISSING = MISSING
    full_name: FullName | MISSING | None = MISSING
    password: NewPassword | MISSING = MISSING
    current_password: AnyPassword | None = None


class UserAdminUpdate(BaseModel):
    """What a superuser may change of another: never the password, never the e-mail."""

    username: Username | MISSING = MISSING
    full_name: FullName | MISSING | None = MISSING
    is_active: bool | MISSING = MISSING
    is_superuser: bool | MISSING = MISSING
    is_verified: bool | MISSING = MISSING


class PublicUser(BaseModel):
    """What anyone who is signed in may know of another."""

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
