import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import BinaryIO

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from plinth.accounts.services import bulk
from plinth.accounts.services.bulk import ImportRefused, ImportResult, Line, Problem
from plinth.cli.connecting import connected, reaching
from plinth.cli.failure import Failure
from plinth.cli.output import err, out, warn
from plinth.cli.users.files import find_format, read_lines, reading
from plinth.cli.users.formats import Format
from plinth.config import settings
from plinth.devservices.service_urls import ServiceUrls, running_services
from plinth.security.passwords import verify_password

SHOWN_AT_A_TERMINAL = 20
STEP = 200  # lines from one stroke of the bar to the next


def run(file: Path, given: Format | None, *, skip_duplicates: bool, superusers: bool) -> None:
    kind = find_format(file, given)
    with reading(file) as source, running_services(settings) as found:
        # COPY prepares a statement with a name, which would meet another's in PgBouncer.
        backing = found
        if settings.DB_PGBOUNCER:
            backing = replace(found, database_url=found.owner_url)
        try:
            with reaching(backing.database_url):
                done = asyncio.run(
                    _import(backing, source, kind, skip=skip_duplicates, superusers=superusers)
                )
        except ImportRefused as refusal:
            _show(refusal.problems)
            raise Failure(_advise(refusal.problems)) from refusal
    _show(done.skipped)
    skipped = f"; {len(done.skipped)} lines were skipped" if done.skipped else ""
    out.print(f"{done.count} users were imported{skipped}.")
    _warn_of_slow_ones(done.hashes)


async def _import(
    backing: ServiceUrls, source: BinaryIO, kind: Format, *, skip: bool, superusers: bool
) -> ImportResult:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    # Seen at a terminal only: a log of a nightly run needs none.
    progress = Progress(
        *columns, TimeElapsedColumn(), console=err, transient=True, disable=not err.is_terminal
    )
    async with connected(backing) as database, database.transaction() as db:
        with progress:
            lines = _followed(read_lines(source, kind), source, progress)
            return await bulk.import_users(db, lines, skip_duplicates=skip, superusers=superusers)


def _followed(lines: Iterable[Line], source: BinaryIO, progress: Progress) -> Iterator[Line]:
    size = os.fstat(source.fileno()).st_size or None
    task = progress.add_task("reading", total=size if source.seekable() else None)
    for count, line in enumerate(lines):
        if size and count % STEP == 0 and source.seekable():
            progress.update(task, completed=source.tell())
        yield line
    progress.update(task, description="writing", total=None)


def _show(problems: Sequence[Problem]) -> None:
    """Each at its line; at a terminal no more than one can read, in a file all."""
    shown = problems[:SHOWN_AT_A_TERMINAL] if err.is_terminal else problems
    for problem in shown:
        err.print(Text(f"line {problem.line}: {problem.message}"))
    if len(shown) < len(problems):
        err.print(f"... and {len(problems) - len(shown)} more; 2> FILE has them all.")


def _advise(problems: Sequence[Problem]) -> str:
    return (
        f"Nothing was imported: {len(problems)} problems. Mend the file, or pass --skip-duplicates "
        "to leave out those who are there already."
    )


def _warn_of_slow_ones(hashes: Sequence[str]) -> None:
    """A failed sign-in answers after LOGIN_FAILURE_MS whatever the account's hash is, as long as
    no hash takes longer."""
    slowest = max((_measure(stored) for stored in hashes), default=0.0)
    if slowest > settings.LOGIN_FAILURE_MS:
        floor = settings.LOGIN_FAILURE_MS
        warn(
            f"To compare a password with the slowest of these hashes takes {slowest:.0f} ms here. "
            f"A failed sign-in answers after LOGIN_FAILURE_MS={floor}, so its time would tell who "
            f"has such a hash: set it to {_round_up(slowest * 1.5)} until they have signed in."
        )


def _measure(stored: str) -> float:
    """Milliseconds."""
    began = perf_counter()
    asyncio.run(verify_password("", stored))
    return (perf_counter() - began) * 1000


def _round_up(milliseconds: float) -> int:
    return -int(-milliseconds // 100) * 100
