"""A kept release: its wheel, a project that a team started with it, and the project's database."""

import asyncio
import json
import shutil
import tarfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import asyncpg

from plinth.cli.upgrade.release import version_key
from tests.start.conftest import Project
from tests.upgrade.running import commit, run_plinth, serving
from tests.upgrade.seed import Seed, create_seed
from tests.upgrade.team import find_team_files, start

RELEASES = Path(__file__).parent / "releases"
PROJECT, DATABASE, FACTS = "project.tar.xz", "database.dump", "facts.json"
NOT_IN_GIT = [".env"]
# Tables whose rows expire. The times of other tables are in responses that the tests compare, or
# in the hash chain of the audit log.
EXPIRING = (
    "earlier_one_time_tokens", "idempotency_keys", "mails", "one_time_tokens", "sessions",
)  # fmt: skip
FIND_TIMES = """
    SELECT table_name, array_agg(column_name::text) FROM information_schema.columns
    WHERE table_name = ANY($1) AND data_type = 'timestamp with time zone' GROUP BY table_name
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """
    Attributes:
        made_at: ISO 8601.
        team_files: what the team added or changed in the project.
        audit_head: as `plinth audit verify` prints it.
    """

    made_at: str
    team_files: list[str]
    audit_head: str
    seed: Seed


@dataclass(frozen=True, slots=True)
class KeptRelease:
    folder: Path

    @property
    def wheel(self) -> Path:
        (found,) = self.folder.glob("*.whl")
        return found

    def read_facts(self) -> Facts:
        found: dict[str, Any] = json.loads((self.folder / FACTS).read_text())
        return Facts(**found | {"seed": Seed(**found["seed"])})

    def unpack(self, folder: Path, shell: dict[str, str]) -> Project:
        """Write the project, as a git repository without changes."""
        with tarfile.open(self.folder / PROJECT) as archive:
            archive.extractall(folder, filter="data")
        (folder / "wheels").mkdir()
        shutil.copy(self.wheel, folder / "wheels")
        project = Project(folder, shell)
        commit(project, "Start")
        return project

    def restore(self, project: Project, servers: dict[str, str]) -> None:
        """Restore the database by the project's code, as if it was made just now."""
        run_plinth(project, "db", "restore", self.folder / DATABASE, "--yes", **servers)
        age = datetime.now(UTC) - datetime.fromisoformat(self.read_facts().made_at)
        asyncio.run(_add_to_times(servers["DATABASE_URL"], age))


def find_releases(folder: Path = RELEASES) -> dict[str, KeptRelease]:
    """Return the kept releases by their versions, the oldest first."""
    names = [it.name for it in folder.glob("[0-9]*")]
    return {name: KeptRelease(folder / name) for name in sorted(names, key=version_key)}


def keep(
    folder: Path, work: Path, wheel: Path, shell: dict[str, str], servers: dict[str, str]
) -> KeptRelease:
    """Write the release of the wheel into the folder.

    Args:
        work: an empty folder which PostgreSQL's user may enter.
        servers: with an empty database.
    """
    shop = start(work, wheel, shell, servers)
    made_at = datetime.now(UTC).isoformat()
    with serving(shop, **servers) as client:
        seed = create_seed(client)
    head = run_plinth(shop, "audit", "verify", **servers).partition("Head: ")[2].strip()
    folder.mkdir(parents=True)
    run_plinth(shop, "db", "backup", folder / DATABASE, **servers)
    facts = Facts(made_at, find_team_files(shop), head, seed)
    (folder / FACTS).write_text(json.dumps(asdict(facts), indent=4) + "\n")
    _pack(shop, folder / PROJECT)
    shutil.copy(wheel, folder)
    return KeptRelease(folder)


def _pack(shop: Project, target: Path) -> None:
    """Write what the team would clone, and its .env. The wheel is kept beside it."""
    names = [*shop.run("git", "ls-files").split(), *NOT_IN_GIT]
    with tarfile.open(target, "w:xz") as archive:
        for name in sorted(it for it in names if not it.startswith("wheels/")):
            content = (shop.folder / name).read_bytes()
            entry = tarfile.TarInfo(name)
            entry.mode = (shop.folder / name).stat().st_mode & 0o755
            entry.size = len(content)
            archive.addfile(entry, BytesIO(content))


async def _add_to_times(url: str, age: timedelta) -> None:
    connection = await asyncpg.connect(url)
    try:
        for table, columns in await connection.fetch(FIND_TIMES, EXPIRING):
            changes = ", ".join(f'"{it}" = "{it}" + $1' for it in columns)
            await connection.execute(f'UPDATE "{table}" SET {changes}', age)
    finally:
        await connection.close()
