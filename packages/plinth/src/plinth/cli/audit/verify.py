import asyncio
import json
from typing import Any

from rich.progress import Progress

from plinth.accounts.services import audit
from plinth.accounts.services.audit import VerificationResult
from plinth.cli.connecting import connected, database_errors
from plinth.cli.failure import Failure
from plinth.cli.output import err, out
from plinth.config import settings
from plinth.devservices.service_urls import ServiceUrls, running_services


def run(expect: str | None, *, as_json: bool) -> None:
    with running_services(settings) as services, database_errors(services.database_url):
        result = asyncio.run(_verify(services, expect))
    head = f"{result.last_id}:{result.head}" if result.count else None
    if as_json:
        print(json.dumps(_to_json(result, head)))
    elif result.count:
        if result.deleted:
            out.print(
                f"Events 1 to {result.deleted.last_id} were deleted on "
                f"{result.deleted.deleted_at:%Y-%m-%d} by retention."
            )
        out.print(f"Verified events: {result.count}")
        out.print(f"Head: {head}", markup=False)
    elif not result.flaw:
        out.print("The audit log is empty.")
    if result.flaw:
        raise Failure(f"The audit log was altered: {result.flaw}.")


def _to_json(result: VerificationResult, head: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {"events": result.count, "head": head, "flaw": result.flaw}
    if result.deleted:
        found |= {
            "deleted_until": result.deleted.last_id,
            "deleted_at": result.deleted.deleted_at.isoformat(),
        }
    return found


async def _verify(services: ServiceUrls, expect: str | None) -> VerificationResult:
    progress = Progress(console=err, transient=True, disable=not err.is_terminal)
    async with connected(services) as database, database.transaction() as db:
        with progress:
            task = progress.add_task("events", total=await audit.get_last_id(db))
            return await audit.verify(
                db, expect=expect, report=lambda count: progress.update(task, completed=count)
            )
