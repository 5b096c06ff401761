"""Which migrations there are, and where a database is: without alembic, which every process that
serves would carry for these three questions (80 ms of its start, 7 MiB)."""

import re
from ast import literal_eval
from configparser import ConfigParser
from functools import cache
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from plinth import project
from plinth.db.database import Database

# As alembic's template writes them, and a formatter may break them: `down_revision: ... = ...`
ASSIGNED = re.compile(r"^(revision|down_revision)\b[^=\n]*=\s*(\([^)]*\)|.*)", re.MULTILINE)


def find_ini() -> Path:
    """Return `alembic.ini` of the working directory, as alembic does, else the application's."""
    here = Path("alembic.ini")
    return here if here.exists() else project.find_root() / "alembic.ini"


def newest() -> str | None:
    """The revision that this code expects. Where two branches each added one, both: that is never
    where a database is, and `plinth db upgrade` says what is wrong."""
    return ", ".join(sorted(_read(_find_folder()).keys() - outgrown())) or None


def outgrown() -> frozenset[str]:
    """The revisions before the newest."""
    return frozenset(before for befores in _read(_find_folder()).values() for before in befores)


def compare(at: str | None) -> tuple[str, str]:
    """Of a database that is not at the newest revision: where it is, and what to do about it."""
    if at is None or at in _read(_find_folder()):
        return (
            f"at {at or 'none'}, and {newest()} is the newest",
            "Run `plinth db upgrade` or `alembic upgrade head`.",
        )
    return f"at {at}, which this code does not know", "Run the newer code that made it."


async def applied(database: Database) -> str | None:
    """The revision that the database is at; None where no migration ever ran."""
    async with database.reading() as connection:
        try:
            found = await connection.scalar(text("SELECT version_num FROM alembic_version"))
        except ProgrammingError:
            return None
    return str(found) if found else None


@cache
def _read(folder: Path) -> dict[str, tuple[str, ...]]:
    """Each revision, and those that it follows."""
    found = {}
    for file in folder.glob("*.py"):
        said = dict(ASSIGNED.findall(file.read_text(encoding="utf-8")))
        if "revision" in said:
            before = literal_eval(said.get("down_revision", "None"))
            befores = (before,) if isinstance(before, str) else tuple(before or ())
            found[literal_eval(said["revision"])] = befores
    return found


def _find_folder() -> Path:
    ini = find_ini()
    given = ConfigParser({"here": str(ini.resolve().parent)})
    given.read(ini, encoding="utf-8")
    return Path(given["alembic"]["script_location"]) / "versions"
