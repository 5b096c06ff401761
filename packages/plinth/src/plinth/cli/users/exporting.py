import asyncio
import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from plinth.accounts.schemas.from_columns import ExportedUser, exported_user
from plinth.accounts.services import bulk
from plinth.cli.atomic_write import atomic_write, refuse_existing
from plinth.cli.connecting import connected, database_errors
from plinth.cli.output import err, out
from plinth.cli.users.commands import Format
from plinth.cli.users.files import STANDARD, find_format
from plinth.config import settings
from plinth.devservices.service_urls import ServiceUrls, running_services
from plinth.organizations.services import personal_data

STEP = 1000


def run(file: Path, given: Format | None, *, hashes: bool, force: bool) -> None:
    kind = find_format(file, given)
    if file == STANDARD:
        _export(sys.stdout, kind, hashes=hashes)
        return
    refuse_existing(file, force=force)
    with atomic_write(file) as draft:
        with draft.open("w", encoding="utf-8", newline="") as target:
            count = _export(target, kind, hashes=hashes)
        draft.replace(file)
    out.print(f"Exported {count} users to {file}.", markup=False)


def _export(target: TextIO, kind: Format, *, hashes: bool) -> int:
    with running_services(settings) as services, database_errors(services.database_url):
        return asyncio.run(_write(services, target, kind, hashes=hashes))


async def _write(services: ServiceUrls, target: TextIO, kind: Format, *, hashes: bool) -> int:
    write = _write_csv(target, hashes=hashes) if kind is Format.CSV else _write_jsonl(target)
    count = 0
    async with connected(services) as database, database.transaction() as db:
        with err.status("") as progress:
            users = bulk.export_users(db, hashes=hashes)
            async for user in personal_data.add_memberships(db, users):
                write(user)
                count += 1
                if count % STEP == 0:
                    progress.update(f"{count} users")
    return count


def _write_csv(target: TextIO, *, hashes: bool) -> Callable[[ExportedUser], object]:
    names = list(exported_user(hashes=hashes).model_fields)
    writer = csv.DictWriter(target, names, lineterminator="\n")
    writer.writeheader()
    return lambda user: writer.writerow(
        {name: _to_cell(value) for name, value in user.model_dump(mode="json").items()}
    )


def _to_cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, dict | list) else value


def _write_jsonl(target: TextIO) -> Callable[[ExportedUser], object]:
    return lambda user: target.write(user.model_dump_json() + "\n")
