"""A resource of `plinth new` in a copy of this checkout, with a separate database."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from bench.seed import Person, make_database, seed
from bench.targets import BARE, ROOT, Target, make_bare, make_ours, python_path

USERS = 10_000
NEW = "note title:str:200 body:text? due:date? priority:int=0 --owned --search title,body"
DOES = frozenset({"create a note", "a note"})
# Each signed-in user has the note with the same id, so each can read a note of their own.
ONE_EACH = "INSERT INTO notes (owner_id, title) SELECT id, 'Mine' FROM users ORDER BY id LIMIT 1000"
PATIENCE = 120


@dataclass(frozen=True, slots=True)
class Generated:
    targets: Sequence[Target]
    database_url: str
    people: Sequence[Person]


def prepare(server_url: str, folder: Path, environment: Mapping[str, str]) -> Generated:
    """Generate the resource, migrate, and insert rows. Do not start the servers."""
    checkout = _copy(folder / "checkout")
    url = asyncio.run(make_database(server_url, "bench_generated"))
    people = asyncio.run(seed(url, USERS))
    given = {**os.environ, **environment, "DATABASE_URL": url, "PYTHONPATH": python_path(checkout)}
    for command in (["new", *NEW.split()], ["db", "upgrade"]):
        _run([sys.executable, "-m", "plinth.cli", *command], checkout, given)
    asyncio.run(_fill(url))
    return Generated([make_ours(DOES, folder=checkout), make_bare(BARE, DOES)], url, people)


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
        await connection.execute("VACUUM (ANALYZE) notes")
    finally:
        await connection.close()
