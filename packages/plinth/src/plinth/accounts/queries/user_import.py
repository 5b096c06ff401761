"""An import's rows, on their way into `users` through a table that only its transaction has."""

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

ONE_AT_A_TIME = 0x706C75  # of all that take advisory locks, this one's number

WHERE = re.compile(r"^COPY \w+, line (\d+)(?:, column (\w+))?", re.MULTILINE)


def _is_optional(column: Column[Any]) -> bool:
    return bool(column.nullable or column.server_default is not None)


_dialect = dialect()  # type: ignore[no-untyped-call]
_users = cast("Table", User.__table__)
_staged = Table(
    "staged_users",
    MetaData(),
    # Names that no column of users may have (`base_user.py`).
    Column("_line", BigInteger, nullable=False),
    # Of the types that `users` has, so that what does not fit there fails by its line here. NULL
    # stands for what was left out.
    *(Column(name, COLUMNS[name].type, nullable=_is_optional(COLUMNS[name])) for name in IMPORTED),
    # Given out here, so that it can be said later which of the rows became users.
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
        line: of the file.
        column: None where it is not known.
        reason: without any value.
    """

    def __init__(self, line: int, column: str | None, reason: str) -> None:
        super().__init__(line, column, reason)
        self.line = line
        self.column = column
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Clash:
    """A row of the file that is no new user.

    Attributes:
        field: the first that another has already.
        of_line: the other's line; None where it is a user who was there before.
    """

    line: int
    field: str
    of_line: int | None


async def begin(db: AsyncSession) -> None:
    """Takes its time without being stopped; a second import waits until this one's end."""
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        await db.execute(select(func.set_config(name, "0", True)))
    await db.execute(select(func.pg_advisory_xact_lock(ONE_AT_A_TIME)))
    await db.execute(CreateTable(_staged))


async def stage(db: AsyncSession, rows: Iterable[Sequence[Any]]) -> None:
    """By COPY.

    Args:
        rows: the line's number and `IMPORTED`.

    Raises:
        UnstorableRow: the database does not take one of them.
    """
    raw = await (await db.connection()).get_raw_connection()
    connection = cast("asyncpg.Connection", raw.driver_connection)
    sent: list[int] = []  # the lines of the rows that were read, to find the one that failed
    records = _noting(rows, sent)
    try:
        await connection.copy_records_to_table(
            _staged.name, schema_name="pg_temp", columns=("_line", *IMPORTED), records=records
        )
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        if (found := WHERE.search(error.context or "")) is None:
            raise
        raise UnstorableRow(sent[int(found[1]) - 1], found[2], error.message) from None
    except (ValueError, TypeError, OverflowError):
        # Suspended, it is the driver that raises: a value is of another type than its column.
        if getgeneratorstate(records) != GEN_SUSPENDED:
            raise
        raise UnstorableRow(sent[-1], None, "a value does not fit its column") from None
    await db.execute(text("ANALYZE pg_temp.staged_users"))


def _noting(rows: Iterable[Sequence[Any]], sent: list[int]) -> Generator[Sequence[Any], None, None]:
    for row in rows:
        sent.append(row[0])
        values = list(row)
        for place, process in _processors:
            if values[place] is not None:
                values[place] = process(values[place])
        yield values


async def insert_staged(db: AsyncSession) -> tuple[int, int | None, int | None]:
    """How many became users, and the smallest and the largest id among them. Who clashes with a
    user, or with an earlier line, is left: the indexes decide, also against those who register at
    this moment."""
    values = {
        _users.c.id: _id,
        **{COLUMNS[name]: _default(COLUMNS[name], _staged.c[name]) for name in IMPORTED},
    }
    chosen = select(*values.values()).order_by(_line)
    made = (
        insert(User)
        .from_select(list(values), chosen)
        .on_conflict_do_nothing()
        .returning(User.id)
        .cte("made")
    )
    counted = await db.execute(select(func.count(), func.min(made.c.id), func.max(made.c.id)))
    count, first, last = counted.one()
    return count, first, last


def _default(column: Column[Any], given: ColumnElement[Any]) -> ColumnElement[Any]:
    """The value of a row, or what `users` gives a column that was left out."""
    ddl: Any = _dialect.ddl_compiler(_dialect, cast("Any", None))
    default = ddl.get_column_default_string(column)
    return func.coalesce(given, literal_column(f"({default})")) if default else given


async def find_clashes(db: AsyncSession) -> Sequence[Clash]:
    """Why the others did not become users, in the order of the lines."""
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
        Clash(line, "email", line_of_email)
        if email_is_taken
        else Clash(line, "username", line_of_name)
        for line, email_is_taken, line_of_email, line_of_name in rows
    ]
