"""Many users at once, from a file: all of them or none.

It is one transaction, so an import that was broken off has done nothing, and is begun again.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.queries.user_import import Clash
from plinth.accounts.schemas.bulk import ExportedUser, ImportedUser, exported_user
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
        fault: why it could not even be read.
    """

    number: int
    values: dict[str, Any] = field(default_factory=dict)
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Imported:
    """
    Attributes:
        skipped: lines of those who were there already, where that was asked for.
        hashes: one of each kind and cost, so that it can be tried how long they take.
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
    detail = "The file has lines that are no new users; nothing was imported"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__()
        self.problems = problems


async def import_users(
    db: AsyncSession,
    lines: Iterable[Line],
    *,
    skip_duplicates: bool = False,
    superusers: bool = False,
) -> Imported:
    """
    Args:
        skip_duplicates: leave out who has the e-mail or username of a user or of an earlier line.
        superusers: let the file make superusers.

    Raises:
        ImportRefused: a line is not valid, or not new. Every such line is told.
    """
    reading = _Reading(superusers=superusers)
    await queries.user_import.begin(db)
    try:
        await queries.user_import.stage(db, reading.read(lines))
    except queries.user_import.UnstorableRow as row:
        said = f"{row.column}: {row.reason}" if row.column else row.reason
        problems = [*reading.problems, Problem(row.line, said)]
        raise ImportRefused(sorted(problems, key=lambda found: found.line)) from row
    count, first, last = await queries.user_import.insert_staged(db)
    clashes = [_describe_clash(clash) for clash in await queries.user_import.find_clashes(db)]
    if reading.problems or (clashes and not skip_duplicates):
        raise ImportRefused(sorted([*reading.problems, *clashes], key=lambda found: found.line))
    if count:
        # One for all of them: who writes to the chain holds it until the commit.
        told = f"{count} users, with ids from {first} to {last}"
        audit.record(db, "users.imported", subject_id=None, reason=told)
        after_commit(db, lambda: accounts.count_users.forget(db))
    return Imported(count, clashes, list(reading.hashes.values()))


async def export_users(db: AsyncSession, *, hashes: bool = False) -> AsyncIterator[ExportedUser]:
    """Everyone, as they were at one moment, by id. Who took them along stands in the audit log.

    Args:
        hashes: of their passwords, for another system to go on with.
    """
    shape = exported_user(hashes=hashes)
    count = 0
    async for user in queries.user.stream(db):
        yield shape.model_validate(user)
        count += 1
    told = f"{count} users, {'with' if hashes else 'without'} the hashes of their passwords"
    audit.record(db, "users.exported", subject_id=None, reason=told)


class _Reading:
    """Lines on their way to becoming rows, and what was noticed of them."""

    def __init__(self, *, superusers: bool) -> None:
        self._superusers = superusers
        self.problems: list[Problem] = []
        self.hashes: dict[str, str] = {}

    def read(self, lines: Iterable[Line]) -> Iterator[tuple[Any, ...]]:
        for line in lines:
            if line.fault:
                self.problems.append(Problem(line.number, line.fault))
                continue
            try:
                user = ImportedUser.model_validate(line.values)
            except ValidationError as error:
                self.problems.extend(_explain(line.number, error))
                continue
            if user.is_superuser and not self._superusers:
                self.problems.append(Problem(line.number, "is_superuser: not allowed to be true"))
                continue
            self._remember(user.hashed_password)
            yield (line.number, *(getattr(user, name) for name in IMPORTED))

    def _remember(self, stored: str) -> None:
        if stored != NO_PASSWORD and len(self.hashes) < MAX_COSTS:
            self.hashes.setdefault(name_cost(stored), stored)


def _explain(line: int, error: ValidationError) -> Iterator[Problem]:
    """The messages alone: a value may be a hash, or a password in the wrong column."""
    for detail in error.errors(include_input=False, include_url=False):
        said = detail["msg"].removeprefix("Value error, ")
        yield Problem(line, f"{detail['loc'][0]}: {said}" if detail["loc"] else said)


def _describe_clash(clash: Clash) -> Problem:
    if clash.of_line is None:
        taken = {"email": "Email already registered", "username": "Username already taken"}
        return Problem(clash.line, f"{clash.field}: {taken[clash.field]}")
    return Problem(clash.line, f"{clash.field}: the same as in line {clash.of_line}")
