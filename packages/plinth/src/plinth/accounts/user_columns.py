"""The columns of the application's user model, by their use. No other module lists them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, Enum, String
from sqlalchemy.orm import MappedColumn

from plinth.accounts.base_user import BaseUser
from plinth.accounts.models import User


def _find_columns() -> dict[str, Column[Any]]:
    """Return columns by attribute: the library's, then the application's."""
    found = {
        attribute.key: attribute.columns[0]
        for attribute in User.__mapper__.column_attrs
        if isinstance(attribute.columns[0], Column)
    }
    ours = [name for name in found if name in LIBRARY]
    return {name: found[name] for name in (*ours, *(it for it in found if it not in LIBRARY))}


def _is_maintained(column: Column[Any]) -> bool:
    """Return whether only the database writes it."""
    return bool(column.primary_key or column.computed or column.server_onupdate)


LIBRARY = frozenset(
    name
    for base in BaseUser.__mro__
    for name, value in vars(base).items()
    if isinstance(value, MappedColumn)
)
COLUMNS: Mapping[str, Column[Any]] = _find_columns()
READABLE = tuple(name for name, column in COLUMNS.items() if not column.info.get("secret"))
"""The columns that a request reads of its user, and those that the admin shows."""

EXPORTED = tuple(name for name in READABLE if COLUMNS[name].server_onupdate is None)
IMPORTED = tuple(
    name
    for name, column in COLUMNS.items()
    if name != "session_epoch" and not _is_maintained(column)
)
EDITABLE = tuple(
    name for name in READABLE if name in IMPORTED and name not in {"email", "created_at"}
)
"""What a superuser may change of another: never the e-mail."""

SHORT_TEXTS = tuple(
    name
    for name in READABLE
    if isinstance(kind := COLUMNS[name].type, String)
    and not isinstance(kind, Enum)
    and kind.length is not None
)


def find_words(user: object) -> list[str]:
    """Return the short texts of a user, of whatever class: what a password may not be made of."""
    texts = (getattr(user, name, None) for name in SHORT_TEXTS)
    return [text for text in texts if isinstance(text, str)]
