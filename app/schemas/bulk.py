"""A user as a file has them: what comes in with an import, what goes out with an export."""

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
)

from app.core.addresses import canonical
from app.core.passwords import NO_PASSWORD, check_hash
from app.schemas.fields import Email, FullName, Line, Username

DJANGO_PREFIX = re.compile(r"(argon2|bcrypt\$)(?=\$)")
HOURS_ALONE = re.compile(r"(?<=:\d\d)([.]\d+)?[+-]\d\d$")


def _find_hash(given: Any) -> Any:
    """Without what Django writes before the hashes that are other kinds'. An empty one, and what
    Django keeps for an account without a password, is none."""
    if not isinstance(given, str):
        return NO_PASSWORD if given is None else given
    if not given or given.startswith("!"):
        return NO_PASSWORD
    return DJANGO_PREFIX.sub("", given, count=1)


def _check_hash(stored: str) -> str:
    check_hash(stored)
    return stored


def _complete_zone(given: Any) -> Any:
    """`+00`, as PostgreSQL writes it, is a zone too."""
    return f"{given}:00" if isinstance(given, str) and HOURS_ALONE.search(given) else given


Hash = Annotated[
    str,
    BeforeValidator(_find_hash),
    StringConstraints(max_length=255),
    AfterValidator(_check_hash),
]


class ImportedUser(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: Email
    username: Username
    full_name: FullName | None = None
    hashed_password: Hash = NO_PASSWORD
    is_active: bool = True
    is_superuser: bool = False
    is_verified: bool = False
    created_at: Annotated[AwareDatetime, BeforeValidator(_complete_zone)] | None = None
    """Left out: the time of the import."""
    id: Line | int | None = None
    """Read over: an export has it, and the database gives out its own."""

    @property
    def email_canonical(self) -> str:
        return canonical(self.email)


class ExportedUser(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    email: str
    username: str
    full_name: str | None
    is_active: bool
    is_superuser: bool
    is_verified: bool
    created_at: datetime


class ExportedUserWithHash(ExportedUser):
    hashed_password: str
