"""Import and export of users. An import is one transaction: all rows of the file or none."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.queries.user_import import DuplicateRow
from plinth.accounts.schemas.from_columns import ExportedUser, ImportedUser, exported_user
from plinth.accounts.services import accounts, audit
from plinth.accounts.user_columns import IMPORTED
from plinth.db.database import after_commit
from plinth.errors import Rejected
from plinth.security.old_hashes import name_cost
from plinth.security.passwords import NO_PASSWORD

MAX_COSTS = 20


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the file.

    Attributes:
        error: why the line could not be parsed.
    """

    number: int
    values: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    line: int
    message: str


@dataclass(frozen=True, slots=True)
class ImportResult:
    """
    Attributes:
        skipped: duplicate lines that were left out (`skip_duplicates`).
        hashes: one password hash of each algorithm and cost, to measure their verification.
    """

    count: int
    skipped: Sequence[Problem]
    hashes: Sequence[str]


class ImportRefused(Rejected):
    """
    Attributes:
        problems: in the order of the lines.
    """

    code = "import_refused"
    detail = "Nothing was imported: the file has invalid or duplicate lines"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__()
        self.problems = problems


async def import_users(
    db: AsyncSession,
    lines: Iterable[Line],
    *,
    skip_duplicates: bool = False,
    superusers: bool = False,
) -> ImportResult:
    """
    Args:
        skip_duplicates: skip lines whose e-mail or username a user or an earlier line has.
        superusers: allow lines with `is_superuser`.

    Raises:
        ImportRefused: at least one line is invalid or a duplicate. It lists all of them.
    """
    parser = _LineParser(superusers=superusers)
    await queries.user_import.prepare(db)
    try:
        await queries.user_import.stage(db, parser.parse(lines))
    except queries.user_import.UnstorableRow as row:
        message = f"{row.column}: {row.reason}" if row.column else row.reason
        raise _refuse([*parser.problems, Problem(row.line, message)]) from row
    count, first, last = await queries.user_import.insert_staged(db)
    duplicates = [_describe(row) for row in await queries.user_import.find_duplicates(db)]
    if parser.problems or (duplicates and not skip_duplicates):
        raise _refuse([*parser.problems, *duplicates])
    if count:
        # One event for the whole import: each event extends the locked chain until the commit.
        reason = f"{count} users, with ids from {first} to {last}"
        audit.record(db, "users.imported", subject_id=None, reason=reason)
        after_commit(db, lambda: accounts.count_users.forget(db))
    return ImportResult(count, duplicates, list(parser.hashes.values()))


async def export_users(db: AsyncSession, *, hashes: bool = False) -> AsyncIterator[ExportedUser]:
    """Yield all users by id, from one snapshot, and audit the export.

    Args:
        hashes: include the password hashes.
    """
    schema = exported_user(hashes=hashes)
    count = 0
    async for user in queries.user.stream(db):
        yield schema.model_validate(user)
        count += 1
    reason = f"{count} users, {'with' if hashes else 'without'} password hashes"
    audit.record(db, "users.exported", subject_id=None, reason=reason)


class _LineParser:
    """Parses lines into rows, and collects the problems and a sample of the hashes."""

    def __init__(self, *, superusers: bool) -> None:
        self._superusers = superusers
        self.problems: list[Problem] = []
        self.hashes: dict[str, str] = {}

    def parse(self, lines: Iterable[Line]) -> Iterator[tuple[Any, ...]]:
        for line in lines:
            if line.error:
                self.problems.append(Problem(line.number, line.error))
                continue
            try:
                user = ImportedUser.model_validate(line.values)
            except ValidationError as error:
                self.problems.extend(_describe_errors(line.number, error))
                continue
            if user.is_superuser and not self._superusers:
                self.problems.append(
                    Problem(line.number, "is_superuser: true is not allowed without --superusers")
                )
                continue
            self._sample(user.hashed_password)
            yield (line.number, *(getattr(user, name) for name in IMPORTED))

    def _sample(self, stored: str) -> None:
        if stored != NO_PASSWORD and len(self.hashes) < MAX_COSTS:
            self.hashes.setdefault(name_cost(stored), stored)


def _describe_errors(line: int, error: ValidationError) -> Iterator[Problem]:
    """Leave out the values: one may be a hash, or a password in the wrong column."""
    for detail in error.errors(include_input=False, include_url=False):
        message = detail["msg"].removeprefix("Value error, ")
        yield Problem(line, f"{detail['loc'][0]}: {message}" if detail["loc"] else message)


def _describe(row: DuplicateRow) -> Problem:
    if row.other_line is None:
        taken = {"email": "Email already registered", "username": "Username already taken"}
        return Problem(row.line, f"{row.field}: {taken[row.field]}")
    return Problem(row.line, f"{row.field}: the same as in line {row.other_line}")


def _refuse(problems: Iterable[Problem]) -> ImportRefused:
    return ImportRefused(sorted(problems, key=lambda problem: problem.line))
