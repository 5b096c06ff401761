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
from plinth.cli.connecting import connected, database_errors
from plinth.cli.failure import Failure
from plinth.cli.output import err, out, warn
from plinth.cli.users.commands import Format
from plinth.cli.users.files import find_format, read_lines, reading
from plinth.config import settings
from plinth.devservices.service_urls import ServiceUrls, running_services
from plinth.security.passwords import verify_password

MAX_SHOWN_PROBLEMS = 20  # on a terminal
STEP = 200  # lines between two updates of the progress bar


def run(file: Path, given: Format | None, *, skip_duplicates: bool, superusers: bool) -> None:
    kind = find_format(file, given)
    with reading(file) as source, running_services(settings) as running:
        services = running
        if settings.DB_PGBOUNCER:  # asyncpg's COPY uses a named prepared statement
            services = replace(running, database_url=running.owner_url)
        try:
            with database_errors(services.database_url):
                imported = asyncio.run(
                    _import(services, source, kind, skip=skip_duplicates, superusers=superusers)
                )
        except ImportRefused as refusal:
            _show(refusal.problems)
            raise Failure(_advise(refusal.problems)) from refusal
    _show(imported.skipped)
    skipped = f", skipped {len(imported.skipped)} lines" if imported.skipped else ""
    out.print(f"Imported {imported.count} users{skipped}.")
    _warn_about_slow_hashes(imported.hashes)


async def _import(
    services: ServiceUrls, source: BinaryIO, kind: Format, *, skip: bool, superusers: bool
) -> ImportResult:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    progress = Progress(
        *columns, TimeElapsedColumn(), console=err, transient=True, disable=not err.is_terminal
    )
    async with connected(services) as database, database.transaction() as db:
        with progress:
            lines = _with_progress(read_lines(source, kind), source, progress)
            return await bulk.import_users(db, lines, skip_duplicates=skip, superusers=superusers)


def _with_progress(lines: Iterable[Line], source: BinaryIO, progress: Progress) -> Iterator[Line]:
    size = os.fstat(source.fileno()).st_size or None
    task = progress.add_task("Reading", total=size if source.seekable() else None)
    for count, line in enumerate(lines):
        if size and count % STEP == 0 and source.seekable():
            progress.update(task, completed=source.tell())
        yield line
    progress.update(task, description="Writing", total=None)


def _show(problems: Sequence[Problem]) -> None:
    """Print the problems: on a terminal the first ones, to a file all of them."""
    shown = problems[:MAX_SHOWN_PROBLEMS] if err.is_terminal else problems
    for problem in shown:
        err.print(Text(f"line {problem.line}: {problem.message}"))
    if len(shown) < len(problems):
        err.print(f"... and {len(problems) - len(shown)} more. To list all, append 2> FILE.")


def _advise(problems: Sequence[Problem]) -> str:
    return (
        f"Nothing was imported: {len(problems)} problems. Correct the file, or pass "
        "--skip-duplicates to skip users that exist already."
    )


def _warn_about_slow_hashes(hashes: Sequence[str]) -> None:
    """Warn about hashes that take longer than LOGIN_FAILURE_MS to verify.

    The response to a failed sign-in is delayed until LOGIN_FAILURE_MS, so that its time does not
    depend on the account's hash. A slower hash would defeat that.
    """
    slowest = max((_measure(stored) for stored in hashes), default=0.0)
    if slowest > settings.LOGIN_FAILURE_MS:
        warn(
            f"Verifying a password against the slowest of these hashes takes {slowest:.0f} ms, "
            f"longer than LOGIN_FAILURE_MS={settings.LOGIN_FAILURE_MS}. The time of a failed "
            "sign-in would reveal which accounts have such a hash. Set LOGIN_FAILURE_MS="
            f"{_round_up(slowest * 1.5)} until these users have signed in once."
        )


def _measure(stored: str) -> float:
    """Return the time of a verification in milliseconds."""
    started = perf_counter()
    asyncio.run(verify_password("", stored))
    return (perf_counter() - started) * 1000


def _round_up(milliseconds: float) -> int:
    return -int(-milliseconds // 100) * 100
