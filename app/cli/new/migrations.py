"""Migrations as files: which is the newest, which one makes a table."""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.util import CommandError

from app.cli.failure import Failure
from app.core import migrations

FOLDER = Path("alembic/versions")


@dataclass(frozen=True, slots=True)
class Migration:
    """
    Attributes:
        path: from the checkout's root.
    """

    path: Path
    revision: str
    follows: str | None
    made: str

    @classmethod
    def begin(cls, slug: str) -> "Migration":
        """A new one, after the newest."""
        now = datetime.now(UTC)
        path = FOLDER / f"{now:%Y-%m-%d_%H%M}_{slug}.py"
        return cls(path, secrets.token_hex(6), newest(), f"{now:%Y-%m-%d %H:%M:%S}+00:00")


def newest() -> str | None:
    """
    Raises:
        Failure: the migrations have several ends, or one cannot be read.
    """
    try:
        return ScriptDirectory.from_config(migrations.find_config()).get_current_head()
    except CommandError as error:
        raise Failure(f"alembic: {error}") from error


def find_maker(root: Path, table: str) -> Migration | None:
    """The migration that creates the table."""
    creates = re.compile(rf'op\.create_table\(\s*"{table}"')
    for file in sorted((root / FOLDER).glob("*.py")):
        text = file.read_text(encoding="utf-8")
        if creates.search(text.partition("def downgrade(")[0]):
            return _read(FOLDER / file.name, text)
    return None


def find_others(root: Path, table: str, maker: Migration) -> list[Path]:
    """The migrations beside it that name the table."""
    names = re.compile(rf"\b{table}\b")
    return [
        FOLDER / file.name
        for file in sorted((root / FOLDER).glob("*.py"))
        if file.name != maker.path.name and names.search(file.read_text(encoding="utf-8"))
    ]


def _read(path: Path, text: str) -> Migration:
    found = {
        name: match[1] if (match := re.search(pattern, text, re.MULTILINE)) else None
        for name, pattern in {
            "revision": r'^revision\b.*= ["\'](\w+)["\']',
            "follows": r'^down_revision\b.*= ["\'](\w+)["\']',
            "made": r"^Create Date: (.+)$",
        }.items()
    }
    if found["revision"] is None:
        raise Failure(f"{path} says no revision.")
    return Migration(path, found["revision"], found["follows"], found["made"] or "")
