"""Read the migration files: the newest one, and the one that creates a table."""

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
        path: relative to the checkout's root.
        made: the Create Date in its docstring.
    """

    path: Path
    revision: str
    follows: str | None
    made: str

    @classmethod
    def begin(cls, slug: str) -> "Migration":
        """Return a new migration after the newest one."""
        now = datetime.now(UTC)
        path = FOLDER / f"{now:%Y-%m-%d_%H%M}_{slug}.py"
        return cls(path, secrets.token_hex(6), newest(), f"{now:%Y-%m-%d %H:%M:%S}+00:00")


@dataclass(frozen=True, slots=True)
class Creation:
    """
    Attributes:
        migration: the one that creates the table.
        text: its source code.
        later: later migrations that change the table.
    """

    migration: Migration
    text: str
    later: tuple[Path, ...]


def newest() -> str | None:
    """
    Raises:
        Failure: the migrations have several heads, or one cannot be read.
    """
    try:
        return _scripts().get_current_head()
    except CommandError as error:
        raise Failure(f"alembic: {error}") from error


def find_creation(root: Path, table: str) -> Creation | None:
    """Return None if no migration creates the table, or a later one drops it."""
    creates = re.compile(rf'op\.create_table\(\s*"{table}"')
    # Without \b before DROP, because it may follow the n of an escaped line feed.
    drops = re.compile(rf'op\.drop_table\(\s*"{table}"|DROP TABLE {table}\b')
    names = re.compile(rf'"{table}"|\b(ON|TABLE) {table}\b')
    later: list[Path] = []
    for migration, text in _walk(root):
        up = text.partition("\ndef downgrade(")[0]
        if drops.search(up):
            return None
        if creates.search(up):
            return Creation(migration, text, tuple(later))
        if names.search(up):
            later.append(migration.path)
    return None


def body_of_upgrade(text: str) -> str | None:
    """Return the body of a migration's `upgrade` as source code.

    Returns:
        None if it creates several tables, or the module has other functions.
    """
    module = ast.parse(text)
    functions = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
    if set(functions) != {"upgrade", "downgrade"}:
        return None
    body = functions["upgrade"].body
    source = "\n".join(text.split("\n")[body[0].lineno - 1 : body[-1].end_lineno])
    return source if source.count("op.create_table(") == 1 else None


def _walk(root: Path) -> Iterator[tuple[Migration, str]]:
    """Yield the migrations from the newest to the first."""
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
