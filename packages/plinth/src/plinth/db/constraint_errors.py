"""Translate PostgreSQL errors to domain errors, by the constraint's name or else the SQLSTATE.

A constraint or index declares the error of its violation in its `info`:

    Index("uq_users_email_lower", ..., info={"violated": ("email_taken", "Email already taken")})
    UniqueConstraint("name", info={"conflict": ("name_taken", "Another one has this name")})
    ForeignKeyConstraint(["project_id"], ["projects.id"], info={"refers": "project_id"})

`violated` is a 400, which clients of the account routes expect; `conflict` is a 409; `refers` is a
422 that names the field. With None as the detail, the message of the database is the detail.

A trigger raises an error with the name of a constraint, which its table declares:

    {"info": {"raised": {"ck_memberships_last_owner": {"conflict": ("last_owner", None)}}}}
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from asyncpg import DataError, PostgresError
from asyncpg import InterfaceError as DriverError
from sqlalchemy import MetaData, Table
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from plinth.db.connection_errors import FaultLog
from plinth.errors import (
    Conflict,
    Contended,
    Invalid,
    InvalidField,
    NotFound,
    OutcomeUnknown,
    PlinthError,
    Rejected,
    TimedOut,
    Unavailable,
)

logger = logging.getLogger(__name__)

# SQLSTATE codes or their classes: PostgreSQL's documentation, appendix A.
BY_SQLSTATE = {
    "23503": NotFound,  # foreign_key_violation
    "23505": Conflict,  # unique_violation
    "23P01": Conflict,  # exclusion_violation
    "08007": OutcomeUnknown,  # transaction_resolution_unknown: see db/driver.py
    "40001": Contended,  # serialization_failure
    "40P01": Contended,  # deadlock_detected
    "25006": Unavailable,  # read_only_sql_transaction: this server was the primary
    "55P03": TimedOut,  # lock_not_available
    "57014": TimedOut,  # query_canceled: a statement timeout
    "57": Unavailable,  # operator_intervention: shutdown, dropped database
    "08": Unavailable,  # connection_exception
    "22": Invalid,  # data_exception: NUL, out of range, too long
    "23": Invalid,  # not null, check
    "54": Invalid,  # program_limit_exceeded: a value too large for an index
    "53": Unavailable,  # insufficient_resources: too many connections, disk full
    "58": Unavailable,  # system_error: disk failure
}
TIMEOUT_SETTINGS = {"55P03": "DB_LOCK_TIMEOUT", "57014": "DB_STATEMENT_TIMEOUT"}
TIMEOUTS = (TimeoutError, PoolTimeoutError)
# Faults such as a missing privilege, pending migrations or a full disk. They are logged, because an
# operator has to fix them.
SERVER_REFUSALS = ("28", "3D", "3F", "42501", "42P01", "53100", "58")
DRIVER_ERRORS = (InterfaceError, DriverError)
ENCODING_ERRORS = (DataError, UnicodeEncodeError, OverflowError)  # raised before anything is sent


class ConstraintErrors:
    """The errors that the constraints of a schema declare."""

    def __init__(self, metadata: MetaData) -> None:
        self._faults = FaultLog(logger, "the database")
        self._by_name: dict[str, Callable[[str], PlinthError]] = {
            name: make_error
            for table in metadata.tables.values()
            for name, info in _find_infos(table)
            if (make_error := _read_info(info))
        }

    def translate(self, error: Exception) -> PlinthError | None:
        """Return the domain error for a database error; None if it is a bug in the program."""
        if isinstance(error, TIMEOUTS):
            return TimedOut()
        if isinstance(error, OSError):
            return Unavailable()
        cause: BaseException | None = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(cause, AsyncAdapt_asyncpg_dbapi.Error):
            cause = cause.__cause__
        if isinstance(cause, PostgresError):
            return self._translate_postgres_error(cause)
        if isinstance(cause, ENCODING_ERRORS):
            return Invalid()
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        return Unavailable() if lost or isinstance(error, DRIVER_ERRORS) else None

    def _translate_postgres_error(self, cause: PostgresError) -> PlinthError | None:
        if make_error := self._by_name.get(getattr(cause, "constraint_name", None) or ""):
            return make_error(str(cause))
        state = cause.sqlstate or ""
        if setting := TIMEOUT_SETTINGS.get(state):
            logger.warning("the database canceled a statement at its timeout (%s)", setting)
        if state.startswith(SERVER_REFUSALS):
            self._faults.note(cause)
            return Unavailable()
        kind = BY_SQLSTATE.get(state) or BY_SQLSTATE.get(state[:2])
        return kind() if kind else None


def _find_infos(table: Table) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    for item in (*table.constraints, *table.indexes):
        yield str(getattr(item, "name", None)), item.info
    yield from table.info.get("raised", {}).items()


def _read_info(info: Mapping[Any, Any]) -> Callable[[str], PlinthError] | None:
    match info:
        case {"violated": (code, detail)}:
            return lambda message: Rejected(detail or message, code=code)
        case {"conflict": (code, detail)}:
            return lambda message: Conflict(detail or message, code=code)
        case {"refers": field}:
            return lambda _: InvalidField(
                field, "refers to a row that does not exist", kind="reference"
            )
    return None
