"""Schemas built from the columns of the user model: import, export, and the form of the admin."""

import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    MISSING,
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NaiveDatetime,
    StringConstraints,
    create_model,
)
from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    Numeric,
    SmallInteger,
    String,
)
from sqlalchemy.types import TypeEngine

from plinth.accounts.schemas.user import UserAdminUpdate
from plinth.accounts.user_columns import COLUMNS, EDITABLE, EXPORTED, IMPORTED
from plinth.resources import fields
from plinth.security.addresses import canonical
from plinth.security.passwords import NO_PASSWORD, check_hash

MIN_YEAR, MAX_YEAR = 1970, 9998
HOURS_ONLY = re.compile(r"(?<=:\d\d)([.]\d+)?[+-]\d\d$")
DJANGO_PREFIX = re.compile(r"(argon2|bcrypt\$)(?=\$)")


def value_type(column: Column[Any]) -> Any:
    """Return the Pydantic type of a column's values, with None if the column is nullable."""
    kind = _find_type(column.type)
    return kind | None if column.nullable else kind


def _find_type(sql_type: TypeEngine[Any]) -> Any:
    for base, make in TYPES:
        if isinstance(sql_type, base):
            return make(sql_type)
    try:
        return sql_type.python_type
    except NotImplementedError:  # a type that only the driver knows
        return Any


def _complete_zone(value: Any) -> Any:
    """Accept `+00` as a time zone, as PostgreSQL writes it."""
    return f"{value}:00" if isinstance(value, str) and HOURS_ONLY.search(value) else value


def _require_storable(moment: datetime) -> datetime:
    # The driver stores the minimum and the maximum of Python's datetime as infinity.
    if not MIN_YEAR <= moment.year <= MAX_YEAR:
        raise ValueError(f"must be within the years {MIN_YEAR} to {MAX_YEAR}")
    return moment


def _refuse_float(value: Any) -> Any:
    """Pydantic accepts 1.0 as true; other databases write booleans as 0 and 1, not as floats."""
    if isinstance(value, float):
        raise ValueError("must be true or false, t or f, yes or no, 1 or 0")  # noqa: TRY004
    return value


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004
    return value


def _parse_json(value: Any) -> Any:
    """Parse a text, such as a cell of a CSV file."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("must be JSON") from None


def _make_text(sql_type: String) -> Any:
    if sql_type.length is None:
        return fields.Text
    return Annotated[fields.Line, StringConstraints(max_length=sql_type.length)]


def _make_integer(sql_type: Integer) -> Any:
    bits = (
        64 if isinstance(sql_type, BigInteger) else 16 if isinstance(sql_type, SmallInteger) else 32
    )
    limit = 2 ** (bits - 1)
    return Annotated[int, Field(ge=-limit, lt=limit), BeforeValidator(_refuse_bool)]


def _make_decimal(sql_type: Numeric[Any]) -> Any:
    digits = Field(max_digits=sql_type.precision, decimal_places=sql_type.scale)
    return Annotated[Decimal, digits, BeforeValidator(_refuse_bool)]


Flag = Annotated[bool, BeforeValidator(_refuse_float)]
Finite = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_refuse_bool)]
Moment = Annotated[
    fields.DateTime, AfterValidator(_require_storable), BeforeValidator(_complete_zone)
]
"""A time like `2024-02-29T12:00:00Z`. A number is rejected, since its unit is unknown."""

TYPES: Sequence[tuple[type[Any], Callable[[Any], Any]]] = (
    (Enum, lambda it: it.enum_class or Literal.__getitem__(tuple(it.enums))),
    (String, _make_text),
    (Boolean, lambda _: Flag),
    (Integer, _make_integer),
    (Float, lambda _: Finite),
    (Numeric, _make_decimal),
    (DateTime, lambda it: Moment if it.timezone else NaiveDatetime),
    (Date, lambda _: fields.Date),
    (JSON, lambda _: Annotated[Any, BeforeValidator(_parse_json)]),
    (ARRAY, lambda _: Annotated[list[Any], BeforeValidator(_parse_json)]),
)
"""The first match applies, since an `Enum` is also a `String`."""


def _normalize_hash(value: Any) -> Any:
    """Return `NO_PASSWORD` for no hash, and remove Django's prefix of standard hashes.

    Django stores a text that starts with "!" for an account without a password.
    """
    if not isinstance(value, str):
        return NO_PASSWORD if value is None else value
    if not value or value.startswith("!"):
        return NO_PASSWORD
    return DJANGO_PREFIX.sub("", value, count=1)


def _check_hash(stored: str) -> str:
    check_hash(stored)
    return stored


Hash = Annotated[
    str,
    BeforeValidator(_normalize_hash),
    StringConstraints(max_length=255),
    AfterValidator(_check_hash),
]


class ImportedColumns(BaseModel):
    """The columns with their own rules in an import.

    Attributes:
        created_at: the time of the import by default.
        id: ignored, since the database assigns ids. Exports contain it.
        memberships: ignored, like `id`: the organizations may not exist here.
    """

    model_config = ConfigDict(extra="forbid")

    email: fields.Email
    username: fields.Username
    hashed_password: Hash = NO_PASSWORD
    is_superuser: Flag = False
    created_at: Moment | None = None
    id: fields.Line | int | None = None
    memberships: Any = None

    @property
    def email_canonical(self) -> str:
        return canonical(self.email)


class ExportedMembership(BaseModel):
    """
    Attributes:
        organization: the slug.
    """

    organization: str
    role: str


class ExportedUser(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int

    if TYPE_CHECKING:  # the last field, after the columns
        memberships: list[ExportedMembership]


def exported_user(*, hashes: bool) -> type[ExportedUser]:
    """Return the schema of exported rows, with or without password hashes."""
    return _exported_with_hash if hashes else _exported


def _make_field(column: Column[Any]) -> tuple[Any, Any]:
    """Return the type and the default of a column in a file.

    It is required unless it is nullable or has a server default, which the query fills in.
    """
    default: Any = column.default
    if default is not None and default.is_scalar:
        return value_type(column), default.arg
    if default is not None and default.is_callable:
        return value_type(column), Field(default_factory=lambda: default.arg(None))
    is_optional = column.nullable or column.server_default is not None or default is not None
    return value_type(column), None if is_optional else ...


_with_rules = {*ImportedColumns.model_fields, "email_canonical"}
_imported: Any = {name: _make_field(COLUMNS[name]) for name in IMPORTED if name not in _with_rules}
_ignored: Any = {name: (Any, None) for name in EXPORTED if name not in {*IMPORTED, "id"}}
ImportedUser = create_model("ImportedUser", __base__=ImportedColumns, **_imported, **_ignored)

_exported_columns: Any = {name: (Any, ...) for name in EXPORTED if name != "id"}
_exported_columns.setdefault("memberships", (list[ExportedMembership], []))
_exported = create_model("ExportedUser", __base__=ExportedUser, **_exported_columns)
_exported_with_hash = create_model(
    "ExportedUserWithHash", __base__=_exported, hashed_password=(str, ...)
)

_editable: Any = {
    name: (value_type(COLUMNS[name]) | MISSING, MISSING)
    for name in EDITABLE
    if name not in UserAdminUpdate.model_fields
}
UserForm = create_model("UserForm", __base__=UserAdminUpdate, **_editable)
"""`UserAdminUpdate` with the application's columns that are not secret, for the admin."""
