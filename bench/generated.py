"""Resources of `plinth new` in a copy of this checkout, with a separate database."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from sqlalchemy import make_url

from bench.seed import Person, make_database, seed
from bench.targets import BARE, ROOT, Target, make_bare, make_ours, python_path
from bench.work import ORGANIZATIONS
from plinth.devservices.postgres import APPLICATION

USERS = 10_000
FIELDS = "title:str:200 body:text? due:date? priority:int=0"
NEW = (
    f"note {FIELDS} --owned --search title,body",
    f"invoice {FIELDS} --org --search title,body",
)
NOTES = frozenset({"create a note", "a note"})
INVOICES = frozenset({"an invoice"})
# Each signed-in user has the note with the same id, so each can read a note of their own.
ONE_EACH = "INSERT INTO notes (owner_id, title) SELECT id, 'Mine' FROM users ORDER BY id LIMIT 1000"
# Each is a member of one organization, which has an invoice with the id of the user.
MEMBERS = f"""
INSERT INTO organizations (slug, name)
SELECT 'o' || n, 'O' FROM generate_series(0, {ORGANIZATIONS - 1}) n;
INSERT INTO memberships (organization_id, user_id, role)
SELECT o.id, u.id, 'owner' FROM users u
JOIN organizations o ON o.slug = 'o' || u.id % {ORGANIZATIONS} WHERE u.id <= 1000;
SET app.maintenance = 'on';
INSERT INTO invoices (organization_id, title)
SELECT organization_id, 'Ours' FROM memberships ORDER BY user_id;
"""
PATIENCE = 120


@dataclass(frozen=True, slots=True)
class Generated:
    targets: Sequence[Target]
    database_url: str
    people: Sequence[Person]


def prepare(server_url: str, folder: Path, environment: Mapping[str, str]) -> Generated:
    """Generate the resources, migrate, and insert rows. Do not start the servers.

    The servers use the application's role, because the owner of tables with policies may not serve.
    """
    checkout = _copy(folder / "checkout")
    url = asyncio.run(make_database(server_url, "bench_generated"))
    people = asyncio.run(seed(url, USERS))
    served = make_url(url).set(username=APPLICATION).render_as_string(hide_password=False)
    given = {
        **os.environ,
        **environment,
        "DATABASE_URL": served,
        "MIGRATION_DATABASE_URL": url,
        "PYTHONPATH": python_path(checkout),
    }
    for command in (*(["new", *it.split()] for it in NEW), ["db", "upgrade"]):
        _run([sys.executable, "-m", "plinth.cli", *command], checkout, given)
    asyncio.run(_fill(url))
    targets = [make_ours(NOTES | INVOICES, folder=checkout), make_bare(BARE, NOTES)]
    return Generated(targets, served, people)


def _copy(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    listed = ["git", "ls-files", "-co", "--exclude-standard"]
    for name in _run(listed, ROOT, os.environ).splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stdout + done.stderr)
    return done.stdout


async def _fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(ONE_EACH)
        await connection.execute(MEMBERS)
        for table in ("notes", "invoices", "memberships", "organizations"):
            await connection.execute(f"VACUUM (ANALYZE) {table}")
    finally:
        await connection.close()
