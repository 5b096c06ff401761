"""Rows of any table, with a value wherever one is needed."""

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
_CHARACTERS = 0x4E00, 20_000  # the first CJK ideograph, and how many follow it
_numbers: defaultdict[Column[Any], Iterator[int]] = defaultdict(lambda: count(1))


class Rows:
    """Inserts with plain SQL, bypassing schemas and routes."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def add(self, table: str, **values: Any) -> int:
        """Insert a row, and the rows it refers to, and return its id.

        Args:
            values: used instead of generated ones.
        """
        for column in Base.metadata.tables[table].columns:
            if column.name in values or not _is_needed(column):
                continue
            if column.foreign_keys:
                values[column.name] = await self._refer(next(iter(column.foreign_keys)), values)
            else:
                values[column.name] = _make_value(column)
        names = ", ".join(f'"{name}"' for name in values)
        places = ", ".join(f"${place}" for place in range(1, len(values) + 1))
        what = f"({names}) VALUES ({places})" if values else "DEFAULT VALUES"
        made: int = await self._connection.fetchval(
            f'INSERT INTO "{table}" {what} RETURNING id', *values.values()
        )
        return made

    async def _refer(self, key: ForeignKey, values: dict[str, Any]) -> int:
        """To a row that has in common what the reference says: its owner."""
        assert key.constraint
        shared = {
            element.column.name: values[element.parent.name]
            for element in key.constraint.elements
            if element is not key
        }
        return await self.add(key.column.table.name, **shared)


def _is_needed(column: Column[Any]) -> bool:
    return not (column.nullable or column.identity or column.server_default is not None)


def _make_value(column: Column[Any]) -> Any:
    """A different value for each row, as far as the type has that many."""
    if isinstance(column.type, JSON):
        return "{}"
    number = next(_numbers[column])
    makes: dict[type, Callable[[], Any]] = {
        str: lambda: _make_text(column, number),
        bool: lambda: True,
        int: lambda: number,
        float: lambda: number + 0.5,
        Decimal: lambda: _make_decimal(column, number),
        date: lambda: date(2026, 1, 1) + timedelta(days=number),
        datetime: lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number),
    }
    return makes.get(column.type.python_type, uuid4)()


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
