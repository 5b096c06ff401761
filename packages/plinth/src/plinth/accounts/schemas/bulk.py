"""A user as a file has them: what comes in with an import, what goes out with an export."""

import re
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    create_model,
)
from sqlalchemy import Column

from plinth.accounts.schemas.column_values import Flag, Moment, value_type
from plinth.accounts.user_columns import COLUMNS, EXPORTED, IMPORTED
from plinth.resources.fields import Email, Line, Username
from plinth.security.addresses import canonical
from plinth.security.passwords import NO_PASSWORD, check_hash

DJANGO_PREFIX = re.compile(r"(argon2|bcrypt\$)(?=\$)")


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


def _make_field(column: Column[Any]) -> tuple[Any, Any]:
    """Return type and default of a column in a file: required unless it is nullable or has a
    default, which the query fills in."""
    default: Any = column.default
    if default is not None and default.is_scalar:
        return value_type(column), default.arg
    if default is not None and default.is_callable:
        return value_type(column), Field(default_factory=lambda: default.arg(None))
    is_optional = column.nullable or column.server_default is not None or default is not None
    return value_type(column), None if is_optional else ...


Hash = Annotated[
    str,
    BeforeValidator(_find_hash),
    StringConstraints(max_length=255),
    AfterValidator(_check_hash),
]


class ImportedColumns(BaseModel):
    """The columns for which an import has rules of its own."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    username: Username
    hashed_password: Hash = NO_PASSWORD
    is_superuser: Flag = False
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


_BY_RULE = {*ImportedColumns.model_fields, "email_canonical"}
_imported: Any = {name: _make_field(COLUMNS[name]) for name in IMPORTED if name not in _BY_RULE}
_read_over: Any = {name: (Any, None) for name in EXPORTED if name not in {*IMPORTED, "id"}}
ImportedUser = create_model("ImportedUser", __base__=ImportedColumns, **_imported, **_read_over)
_shown: Any = {name: (Any, ...) for name in EXPORTED if name != "id"}
_exported = create_model("ExportedUser", __base__=ExportedUser, **_shown)
_exported_with_hash = create_model(
    "ExportedUserWithHash", __base__=_exported, hashed_password=(str, ...)
)


def exported_user(*, hashes: bool) -> type[ExportedUser]:
    """Return the class of an export's rows, with the hashes of their passwords or without."""
    return _exported_with_hash if hashes else _exported
