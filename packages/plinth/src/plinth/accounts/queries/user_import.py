"""The queries of an import: copy the rows into a temporary table, then insert them into `users`."""

import re
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from inspect import GEN_SUSPENDED, getgeneratorstate
from typing import Any, cast

import asyncpg
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    MetaData,
    Table,
    exists,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlalchemy.schema import CreateTable

from plinth.accounts.models import User
from plinth.accounts.user_columns import COLUMNS, IMPORTED

ADVISORY_LOCK_ID = 0x706C75
ERROR_POSITION = re.compile(r"^COPY \w+, line (\d+)(?:, column (\w+))?", re.MULTILINE)


def _is_optional(column: Column[Any]) -> bool:
    return bool(column.nullable or column.server_default is not None)


_dialect = dialect()  # type: ignore[no-untyped-call]
_users = cast("Table", User.__table__)
_staged = Table(
    "staged_users",
    MetaData(),
    # The underscore avoids a column of `users`, where `base_user.py` forbids such names.
    Column("_line", BigInteger, nullable=False),
    # The same types as in `users`, so that a bad value fails here, where its line is known. NULL is
    # a value that the file leaves out.
    *(Column(name, COLUMNS[name].type, nullable=_is_optional(COLUMNS[name])) for name in IMPORTED),
    # Allocated here, to find out later which rows became users.
    Column(
        "_id",
        BigInteger,
        nullable=False,
        server_default=text("nextval(pg_get_serial_sequence('users', 'id'))"),
    ),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
_processors = [
    (place, process)
    for place, name in enumerate(IMPORTED, 1)
    if (process := COLUMNS[name].type.dialect_impl(_dialect).bind_processor(_dialect))
]
_line, _id = _staged.c["_line"], _staged.c["_id"]


class UnstorableRow(Exception):
    """
    Attributes:
        line: the line of the file.
        column: None if the database does not name it.
        reason: the message, without the value.
    """

    def __init__(self, line: int, column: str | None, reason: str) -> None:
        super().__init__(line, column, reason)
        self.line = line
        self.column = column
        self.reason = reason


@dataclass(frozen=True, slots=True)
class DuplicateRow:
    """A row of the file whose e-mail or username is taken.

    Attributes:
        field: the taken field; `email` if both are.
        other_line: the earlier line with the same value; None if an existing user has it.
    """

    line: int
    field: str
    other_line: int | None


async def prepare(db: AsyncSession) -> None:
    """Create the temporary table, lift the timeouts, and wait for a concurrent import to end."""
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        await db.execute(select(func.set_config(name, "0", True)))
    await db.execute(select(func.pg_advisory_xact_lock(ADVISORY_LOCK_ID)))
    await db.execute(CreateTable(_staged))


async def stage(db: AsyncSession, rows: Iterable[Sequence[Any]]) -> None:
    """Copy rows into the temporary table with COPY.

    Args:
        rows: the line number and the values of `IMPORTED`.

    Raises:
        UnstorableRow: the driver or the database rejects a value.
    """
    raw = await (await db.connection()).get_raw_connection()
    connection = cast("asyncpg.Connection", raw.driver_connection)
    sent: list[int] = []  # the line number of each row so far, to find the one that failed
    records = _convert(rows, sent)
    try:
        await connection.copy_records_to_table(
            _staged.name, schema_name="pg_temp", columns=("_line", *IMPORTED), records=records
        )
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        if (position := ERROR_POSITION.search(error.context or "")) is None:
            raise
        raise UnstorableRow(sent[int(position[1]) - 1], position[2], error.message) from None
    except (ValueError, TypeError, OverflowError):
        # If the generator is suspended, the driver raised: it cannot encode a value.
        if getgeneratorstate(records) != GEN_SUSPENDED:
            raise
        raise UnstorableRow(sent[-1], None, "a value does not fit its column") from None
    await db.execute(text("ANALYZE pg_temp.staged_users"))


def _convert(
    rows: Iterable[Sequence[Any]], sent: list[int]
) -> Generator[Sequence[Any], None, None]:
    for row in rows:
        sent.append(row[0])
        values = list(row)
        for place, process in _processors:
            if values[place] is not None:
                values[place] = process(values[place])
        yield values


async def insert_staged(db: AsyncSession) -> tuple[int, int | None, int | None]:
    """Insert the staged rows into `users`, except duplicates.

    The unique indexes decide, so concurrent registrations are safe.

    Returns:
        The number of new users, and the smallest and the largest of their ids.
    """
    values = {
        _users.c.id: _id,
        **{COLUMNS[name]: _default(COLUMNS[name], _staged.c[name]) for name in IMPORTED},
    }
    inserted = (
        insert(User)
        .from_select(list(values), select(*values.values()).order_by(_line))
        .on_conflict_do_nothing()
        .returning(User.id)
        .cte("inserted")
    )
    summary = select(func.count(), func.min(inserted.c.id), func.max(inserted.c.id))
    count, first, last = (await db.execute(summary)).one()
    return count, first, last


def _default(column: Column[Any], value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return `value`, or the server default of the column if it is NULL."""
    ddl: Any = _dialect.ddl_compiler(_dialect, cast("Any", None))
    default = ddl.get_column_default_string(column)
    return func.coalesce(value, literal_column(f"({default})")) if default else value


async def find_duplicates(db: AsyncSession) -> Sequence[DuplicateRow]:
    """Return the staged rows that `insert_staged` left out, by line."""
    of_email, of_name = aliased(User), aliased(User)
    line_of_email, line_of_name = _staged.alias("line_of_email"), _staged.alias("line_of_name")
    rows = await db.execute(
        select(_line, of_email.id, line_of_email.c["_line"], line_of_name.c["_line"])
        .outerjoin(of_email, of_email.email_canonical == _staged.c.email_canonical)
        .outerjoin(of_name, func.lower(of_name.username) == func.lower(_staged.c.username))
        .outerjoin(line_of_email, line_of_email.c["_id"] == of_email.id)
        .outerjoin(line_of_name, line_of_name.c["_id"] == of_name.id)
        .where(~exists().where(User.id == _id))
        .order_by(_line)
    )
    return [
        DuplicateRow(line, "email", line_of_email)
        if email_is_taken
        else DuplicateRow(line, "username", line_of_name)
        for line, email_is_taken, line_of_email, line_of_name in rows
    ]
