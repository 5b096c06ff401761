"""A user as a file has them: what comes in with an import, what goes out with an export."""

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
)

from plinth.resources.fields import DateTime, Email, FullName, Line, Username
from plinth.security.addresses import canonical
from plinth.security.passwords import NO_PASSWORD, check_hash

FIRST_YEAR, LAST_YEAR = 1970, 9998
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


def _require_storable(moment: datetime) -> datetime:
    # The driver takes the first and the last moment that Python has for infinities.
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"must be within the years {FIRST_YEAR} to {LAST_YEAR}")
    return moment


def _refuse_float(given: Any) -> Any:
    """Pydantic would take 1.0 for true; 0 and 1 are what other databases write for a boolean."""
    if isinstance(given, float):
        raise ValueError("must be true or false, t or f, yes or no, 1 or 0")  # noqa: TRY004
    return given


Flag = Annotated[bool, BeforeValidator(_refuse_float)]
Moment = Annotated[DateTime, AfterValidator(_require_storable), BeforeValidator(_complete_zone)]
"""`2024-02-29T12:00:00Z`. A bare number is refused: a year, seconds and milliseconds look alike."""

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
    is_active: Flag = True
    is_superuser: Flag = False
    is_verified: Flag = False
    created_at: Moment | None = None
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
