"""`plinth db backup` under load, restored on another server."""

import asyncio
from pathlib import Path

import asyncpg

from tests.faults.conftest import Measured
from tests.faults.load import loaded
from tests.support.command import plinth
from tests.support.postgres import OwnPostgres, make_run_folder, own_postgres
from tests.support.serving import SETTINGS, serving
from tests.support.valkey import OwnValkey

COUNTS = {
    "users": "SELECT count(*) FROM users",
    "their events": "SELECT count(*) FROM events WHERE event = 'user.registered'",
    "their mails": "SELECT count(*) FROM mails",
}


async def test_backup_under_load_is_consistent_when_restored(
    folder: Path, postgres: OwnPostgres, valkey: OwnValkey, tmp_path: Path, measured: Measured
) -> None:
    file = tmp_path / "plinth.dump"
    settings = SETTINGS | {"DATABASE_URL": postgres.url, "REDIS_URL": valkey.url}
    with serving(folder, DATABASE_URL=postgres.url, REDIS_URL=valkey.url) as api:
        async with loaded(api.url) as book:
            await asyncio.sleep(2)
            before = set(book.acknowledged)
            saved = await asyncio.to_thread(plinth, "db", "backup", str(file), **settings)
            assert saved.returncode == 0, saved.stderr
            after = len(book.acknowledged)
    book.check()
    with own_postgres(make_run_folder(folder / "elsewhere")) as elsewhere:
        settings["DATABASE_URL"] = elsewhere.url
        restored = await asyncio.to_thread(plinth, "db", "restore", str(file), "--yes", **settings)
        assert restored.returncode == 0, restored.stderr
        audited = await asyncio.to_thread(plinth, "audit", "verify", **settings)
        counts, names = await look(elsewhere.url)
    measured("in the backup", ", ".join(f"{count} {name}" for name, count in counts.items()))
    measured("acknowledged before it began, when it ended", f"{len(before)}, {after}")
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert len(set(counts.values())) == 1, "one moment of it all"
    assert before <= names


async def look(url: str) -> tuple[dict[str, int], set[str]]:
    connection = await asyncpg.connect(url)
    try:
        counts = {name: await connection.fetchval(query) for name, query in COUNTS.items()}
        names = {row["username"] for row in await connection.fetch("SELECT username FROM users")}
    finally:
        await connection.close()
    return counts, names
