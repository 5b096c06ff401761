"""What PostgreSQL refused, as a meaning: by the constraint's name, else by the SQLSTATE.

A constraint or index says what its violation means in its `info`, where it is declared:

    Index("uq_users_email_lower", ..., info={"violated": ("email_taken", "Email already taken")})
    UniqueConstraint("name", info={"conflict": ("name_taken", "Another one has this name")})
    ForeignKeyConstraint(["project_id"], ["projects.id"], info={"refers": "project_id"})

`violated` answers 400, as the contract has it for accounts; `conflict` 409; `refers` 422 with the
field whose value names nothing that is there.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from asyncpg import DataError, PostgresError
from asyncpg import InterfaceError as DriverError
from sqlalchemy import MetaData
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

# PostgreSQL's documentation, appendix A. By the whole code first, then by its class.
BY_SQLSTATE = {
    "23503": NotFound,  # foreign_key_violation: what it refers to is not there
    "23505": Conflict,  # unique_violation
    "23P01": Conflict,  # exclusion_violation
    "08007": OutcomeUnknown,  # transaction_resolution_unknown: see db/driver.py
    "40001": Contended,  # serialization_failure
    "40P01": Contended,  # deadlock_detected
    "25006": Unavailable,  # read_only_sql_transaction: this server was the primary
    "55P03": TimedOut,  # lock_not_available
    "57014": TimedOut,  # query_canceled: a statement timeout
    "57": Unavailable,  # operator_intervention: shutdown, a database that is dropped
    "08": Unavailable,  # connection_exception
    "22": Invalid,  # data_exception: NUL, out of range, too long
    "23": Invalid,  # not null, check
    "54": Invalid,  # program_limit_exceeded: a value too large for an index
    "53": Unavailable,  # insufficient_resources: too many connections, disk full
    "58": Unavailable,  # system_error: a disk that fails
}
TIME_LIMITS = {"55P03": "DB_LOCK_TIMEOUT", "57014": "DB_STATEMENT_TIMEOUT"}
TIMEOUTS = (TimeoutError, PoolTimeoutError)
# The database refuses us, and not what a client sent: a privilege that was revoked, migrations that
# have not run. Only a person can mend it, so it is logged as well.
SERVER_REFUSALS = ("28", "3D", "3F", "42501", "42P01")
DRIVERS = (InterfaceError, DriverError)
UNSENDABLE = (DataError, UnicodeEncodeError, OverflowError)  # PostgreSQL was not even asked


class ConstraintErrors:
    """The meanings that a schema's constraints declare, by name."""

    def __init__(self, metadata: MetaData) -> None:
        self._faults = FaultLog(logger, "the database")
        self._by_name: dict[str, Callable[[], PlinthError]] = {
            str(getattr(item, "name", None)): meaning
            for table in metadata.tables.values()
            for item in (*table.constraints, *table.indexes)
            if (meaning := _read_meaning(item.info))
        }

    def explain(self, error: Exception) -> PlinthError | None:
        """The meaning of a database error, or None where it is a fault of this program."""
        if isinstance(error, TIMEOUTS):
            return TimedOut()
        if isinstance(error, OSError):
            return Unavailable()
        cause: BaseException | None = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(cause, AsyncAdapt_asyncpg_dbapi.Error):
            cause = cause.__cause__
        if isinstance(cause, PostgresError):
            return self._translate_refusal(cause)
        if isinstance(cause, UNSENDABLE):
            return Invalid()
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        return Unavailable() if lost or isinstance(error, DRIVERS) else None

    def _translate_refusal(self, cause: PostgresError) -> PlinthError | None:
        if meaning := self._by_name.get(getattr(cause, "constraint_name", None) or ""):
            return meaning()
        state = cause.sqlstate or ""
        if limit := TIME_LIMITS.get(state):
            logger.warning("the database ended a statement at its timeout (%s)", limit)
        if state.startswith(SERVER_REFUSALS):
            self._faults.note(cause)
            return Unavailable()
        kind = BY_SQLSTATE.get(state) or BY_SQLSTATE.get(state[:2])
        return kind() if kind else None


def _read_meaning(info: Mapping[Any, Any]) -> Callable[[], PlinthError] | None:
    match info:
        case {"violated": (code, detail)}:
            return lambda: Rejected(detail, code=code)
        case {"conflict": (code, detail)}:
            return lambda: Conflict(detail, code=code)
        case {"refers": field}:
            return lambda: InvalidField(field, "names nothing that is there", kind="reference")
    return None
