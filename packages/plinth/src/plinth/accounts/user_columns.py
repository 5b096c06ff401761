"""The columns of the application's user model, grouped by use."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, Enum, String
from sqlalchemy.orm import MappedColumn

from plinth.accounts.base_user import BaseUser
from plinth.accounts.models import User


def _find_columns() -> dict[str, Column[Any]]:
    """Return the columns by attribute name, those of the library first."""
    columns = {
        attribute.key: attribute.columns[0]
        for attribute in User.__mapper__.column_attrs
        if isinstance(attribute.columns[0], Column)
    }
    return {name: columns[name] for name in sorted(columns, key=lambda it: it not in LIBRARY)}


def _is_generated(column: Column[Any]) -> bool:
    """Return whether only the database writes the column."""
    return bool(column.primary_key or column.computed or column.server_onupdate)


LIBRARY = frozenset(
    name
    for base in BaseUser.__mro__
    for name, value in vars(base).items()
    if isinstance(value, MappedColumn)
)
COLUMNS: Mapping[str, Column[Any]] = _find_columns()
READABLE = tuple(name for name, column in COLUMNS.items() if not column.info.get("secret"))
"""Columns that are not secret: a request reads them with its user, and the admin shows them."""

EXPORTED = tuple(name for name in READABLE if COLUMNS[name].server_onupdate is None)
IMPORTED = tuple(
    name
    for name, column in COLUMNS.items()
    if name != "session_epoch" and not _is_generated(column)
)
EDITABLE = tuple(
    name for name in READABLE if name in IMPORTED and name not in {"email", "created_at"}
)
"""Columns that a superuser may change. A superuser may not change the e-mail of a user."""

SERVICE_VALUES: Mapping[str, Any] = {
    name: column.info["service_account"]
    for name, column in COLUMNS.items()
    if name not in LIBRARY and "service_account" in column.info
}
"""The values of the application's columns for service accounts, or functions that return them."""

REQUIRED = tuple(
    name
    for name, column in COLUMNS.items()
    if name not in LIBRARY
    and not (column.nullable or column.default or column.server_default or _is_generated(column))
)
"""The application's columns that an insert must set."""

SHORT_TEXTS = tuple(
    name
    for name in READABLE
    if isinstance(kind := COLUMNS[name].type, String)
    and not isinstance(kind, Enum)
    and kind.length is not None
)


def find_words(user: object) -> list[str]:
    """Return the short texts of a user or a schema. A password must not consist of them."""
    texts = (getattr(user, name, None) for name in SHORT_TEXTS)
    return [text for text in texts if isinstance(text, str)]
