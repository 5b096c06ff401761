import asyncio
import json

from rich.progress import Progress

from plinth.accounts.services import audit
from plinth.accounts.services.audit import VerificationResult
from plinth.cli.connecting import connected, reaching
from plinth.cli.failure import Failure
from plinth.cli.output import err, out
from plinth.config import settings
from plinth.devservices.service_urls import ServiceUrls, running_services


def run(expect: str | None, *, as_json: bool) -> None:
    with running_services(settings) as backing, reaching(backing.database_url):
        found = asyncio.run(_verify(backing, expect))
    if as_json:
        print(json.dumps({"events": found.count, "head": _name_head(found), "flaw": found.flaw}))
    elif found.count:
        out.print(f"Events that hold together, from the first: {found.count}")
        out.print(f"Head: {_name_head(found)}", markup=False)
    elif not found.flaw:
        out.print("There are no events yet.")
    if found.flaw:
        raise Failure(f"The audit log does not hold: {found.flaw}.")


async def _verify(backing: ServiceUrls, expect: str | None) -> VerificationResult:
    # Seen at a terminal only: a log of a nightly run needs none.
    progress = Progress(console=err, transient=True, disable=not err.is_terminal)
    async with connected(backing) as database, database.transaction() as db:
        with progress:
            task = progress.add_task("events", total=await audit.get_last_id(db))
            return await audit.verify(
                db, expect=expect, report=lambda count: progress.update(task, completed=count)
            )


def _name_head(found: VerificationResult) -> str | None:
    return f"{found.count}:{found.head}" if found.count else None
