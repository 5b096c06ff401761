"""Migrations as files: which is the newest, which one makes a table."""

import ast
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.util import CommandError

from plinth.cli.failure import Failure
from plinth.db import migrations

FOLDER = Path("alembic/versions")


@dataclass(frozen=True, slots=True)
class Migration:
    """
    Attributes:
        path: from the checkout's root.
        made: as its docstring says it.
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


@dataclass(frozen=True, slots=True)
class Making:
    """
    Attributes:
        migration: the one that creates the table as it is now.
        text: its file's.
        later: those after it that change the table.
    """

    migration: Migration
    text: str
    later: tuple[Path, ...]


def newest() -> str | None:
    """
    Raises:
        Failure: the migrations have several ends, or one cannot be read.
    """
    try:
        return _scripts().get_current_head()
    except CommandError as error:
        raise Failure(f"alembic: {error}") from error


def find_making(root: Path, table: str) -> Making | None:
    """None where no migration creates the table, or one has dropped it since."""
    makes = re.compile(rf'op\.create_table\(\s*"{table}"')
    # No \b before DROP: in source text, the n of an escaped line feed stands there.
    drops = re.compile(rf'op\.drop_table\(\s*"{table}"|DROP TABLE {table}\b')
    names = re.compile(rf'"{table}"|\b(ON|TABLE) {table}\b')
    later: list[Path] = []
    for migration, text in _walk(root):
        up = text.partition("\ndef downgrade(")[0]
        if drops.search(up):
            return None
        if makes.search(up):
            return Making(migration, text, tuple(later))
        if names.search(up):
            later.append(migration.path)
    return None


def body_of_upgrade(text: str) -> str | None:
    """What `upgrade` of a migration does, as source text; None where it makes several tables, or
    has functions to help it."""
    module = ast.parse(text)
    functions = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
    if set(functions) != {"upgrade", "downgrade"}:
        return None
    body = functions["upgrade"].body
    lines = text.split("\n")[body[0].lineno - 1 : body[-1].end_lineno]
    found = "\n".join(lines)
    return found if found.count("op.create_table(") == 1 else None


def _walk(root: Path) -> Iterator[tuple[Migration, str]]:
    """From the newest back to the first."""
    try:
        for script in _scripts().walk_revisions():
            path = Path(script.path)
            text = path.read_text(encoding="utf-8")
            made = re.search(r"^Create Date: (.+)$", text, re.MULTILINE)
            follows = script.down_revision
            yield (
                Migration(
                    path.resolve().relative_to(root.resolve()),
                    script.revision,
                    follows if isinstance(follows, str) else None,
                    made[1] if made else "",
                ),
                text,
            )
    except CommandError as error:
        raise Failure(f"alembic: {error}") from error


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(migrations.find_config())
