"""Rows of any table, with a value wherever one is needed."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import uuid4

import asyncpg
from sqlalchemy import Column, ForeignKey, String

from app.models import Base

_numbers = count(1)


class Rows:
    """Writes them as plain SQL does: no schema and no route has a say in it."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def add(self, table: str, **values: Any) -> int:
        """A row's id; `values` in place of the usual ones. What it refers to is made as well."""
        for column in Base.metadata.tables[table].columns:
            if column.name in values or not _is_needed(column):
                continue
            if column.foreign_keys:
                values[column.name] = await self._refer(next(iter(column.foreign_keys)), values)
            else:
                values[column.name] = _make_value(column)
        places = ", ".join(f"${place}" for place in range(1, len(values) + 1))
        what = f"({', '.join(values)}) VALUES ({places})" if values else "DEFAULT VALUES"
        made: int = await self._connection.fetchval(
            f"INSERT INTO {table} {what} RETURNING id", *values.values()
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
    """Another one each time."""
    number = next(_numbers)
    kind = column.type.python_type
    if kind is str:
        assert isinstance(column.type, String)
        return f"{number} {column.name}"[: column.type.length]
    made = {
        bool: True,
        int: number,
        float: number + 0.5,
        Decimal: Decimal(number % 10).scaleb(-getattr(column.type, "scale", 0) or 0),
        date: date(2026, 1, 1) + timedelta(days=number),
        datetime: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number),
        dict: "{}",
    }
    return made.get(kind, uuid4())
