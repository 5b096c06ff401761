"""A factory of rows of any table, with generated values for required columns."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import uuid4

import asyncpg
from sqlalchemy import JSON, Column, ForeignKey, Numeric, String

from plinth.db.models import Base

MANY = 1_000_000
_CHARACTERS = 0x4E00, 20_000  # the first CJK ideograph, and the number of those used
_numbers: defaultdict[Column[Any], Iterator[int]] = defaultdict(lambda: count(1))


class Rows:
    """Inserts with plain SQL, bypassing schemas and routes."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def add(self, table: str, **values: Any) -> int:
        """Insert a row and the rows it refers to. Return its id.

        Args:
            values: column values to use instead of generated ones.
        """
        for column in Base.metadata.tables[table].columns:
            if column.name in values or not _is_required(column):
                continue
            if column.foreign_keys:
                key = next(iter(column.foreign_keys))
                values[column.name] = await self._add_referenced(key, values)
            else:
                values[column.name] = _make_value(column)
        names = ", ".join(f'"{name}"' for name in values)
        places = ", ".join(f"${place}" for place in range(1, len(values) + 1))
        source = f"({names}) VALUES ({places})" if values else "DEFAULT VALUES"
        row_id: int = await self._connection.fetchval(
            f'INSERT INTO "{table}" {source} RETURNING id', *values.values()
        )
        return row_id

    async def _add_referenced(self, key: ForeignKey, values: dict[str, Any]) -> int:
        """Insert the referenced row, with the same values in the other columns of the key."""
        assert key.constraint
        shared = {
            element.column.name: values[element.parent.name]
            for element in key.constraint.elements
            if element is not key
        }
        return await self.add(key.column.table.name, **shared)


def _is_required(column: Column[Any]) -> bool:
    return not (column.nullable or column.identity or column.server_default is not None)


def _make_value(column: Column[Any]) -> Any:
    """Return a value that is unique, as far as the type has enough values."""
    if isinstance(column.type, JSON):
        return "{}"
    number = next(_numbers[column])
    factories: dict[type, Callable[[], Any]] = {
        str: lambda: _make_text(column, number),
        bool: lambda: True,
        int: lambda: number,
        float: lambda: number + 0.5,
        Decimal: lambda: _make_decimal(column, number),
        date: lambda: date(2026, 1, 1) + timedelta(days=number),
        datetime: lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number),
    }
    return factories.get(column.type.python_type, uuid4)()


def _make_text(column: Column[Any], number: int) -> str:
    assert isinstance(column.type, String)
    length = column.type.length
    text = f"{number} {column.name}"[:length]
    if text.startswith(f"{number} "):
        return text
    first, characters = _CHARACTERS
    return chr(first + number % characters)


def _make_decimal(column: Column[Any], number: int) -> Decimal:
    assert isinstance(column.type, Numeric)
    largest = 10**column.type.precision if column.type.precision else MANY
    return Decimal(number % largest).scaleb(-(column.type.scale or 0))
