"""Read the schema steps from `sql/NNNN_name/`: `up.sql`, `down.sql`, and `objects.txt`, a list of
the objects that the step creates. A line `-- plinth: ...` in a script changes how it runs:

- `no transaction`: each statement commits by itself, without a timeout. All statements must be
  repeatable, because a migration that was interrupted runs them again.
- `end sessions` (down.sql): revoke all sessions first, because the previous version cannot read
  their state.
- `contracting in 3` (up.sql): the step removes columns or tables that version 2 uses; see
  docs/explanation/decisions/schema-steps.md.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text

FOLDER = Path(__file__).with_name("sql")
FOLDER_NAME = re.compile(r"(\d{4})_\w+")
DIRECTIVE = re.compile(r"^-- plinth: (.+)$", re.MULTILINE)
TOKEN = re.compile(r"(\$\w*\$).*?\1|'[^']*'|--[^\n]*|;", re.DOTALL)

NO_TRANSACTION = "no transaction"
END_SESSIONS = "end sessions"
ENDING_SESSIONS = (
    "LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE",
    "UPDATE sessions SET revoked_at = now(), revoked_reason = 'downgrade' WHERE revoked_at IS NULL",
)

# Without the functions of extensions, the indexes of constraints, and NOT NULL constraints, which
# only PostgreSQL 18 lists.
OBJECTS = """
SELECT 'table ' || relname FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
UNION SELECT 'column ' || relname || '.' || attname FROM pg_attribute
JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
    AND attnum > 0 AND NOT attisdropped
UNION SELECT 'index ' || tablename || '.' || indexname FROM pg_indexes
WHERE schemaname = current_schema() AND NOT EXISTS (
    SELECT FROM pg_constraint
    WHERE conname = indexname AND connamespace = current_schema()::regnamespace
)
UNION SELECT 'constraint ' || relname || '.' || conname FROM pg_constraint
JOIN pg_class ON pg_class.oid = conrelid
WHERE connamespace = current_schema()::regnamespace AND contype IN ('p', 'f', 'u', 'c', 'x')
UNION SELECT 'trigger ' || relname || '.' || tgname FROM pg_trigger
JOIN pg_class ON pg_class.oid = tgrelid
WHERE relnamespace = current_schema()::regnamespace AND NOT tgisinternal
UNION SELECT 'function ' || proname FROM pg_proc
WHERE pronamespace = current_schema()::regnamespace AND NOT EXISTS (
    SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e'
)
"""
BOOKKEEPING = ("alembic_version", "plinth_schema_version")


@dataclass(frozen=True, slots=True)
class Script:
    text: str

    @property
    def directives(self) -> frozenset[str]:
        return frozenset(DIRECTIVE.findall(self.text))

    @property
    def in_transaction(self) -> bool:
        return NO_TRANSACTION not in self.directives

    def statements(self) -> Iterator[str]:
        """Yield each statement without its semicolon, with the comments before it."""
        if END_SESSIONS in self.directives:
            yield from ENDING_SESSIONS
        start = 0
        for token in TOKEN.finditer(self.text):
            if token[0] == ";":
                yield self.text[start : token.start()].strip()
                start = token.end()


@dataclass(frozen=True, slots=True)
class Step:
    folder: Path

    @property
    def number(self) -> int:
        return int(self.folder.name[:4])

    @property
    def up(self) -> Script:
        return Script((self.folder / "up.sql").read_text(encoding="utf-8"))

    @property
    def down(self) -> Script:
        return Script((self.folder / "down.sql").read_text(encoding="utf-8"))

    @property
    def objects(self) -> frozenset[str]:
        """The objects that the step creates, such as `column users.email`."""
        return frozenset((self.folder / "objects.txt").read_text(encoding="utf-8").splitlines())


def read_steps() -> list[Step]:
    """Return all steps in the order of their numbers, which start at 1 and have no gap."""
    folders = sorted(path for path in FOLDER.iterdir() if FOLDER_NAME.fullmatch(path.name))
    return [Step(folder) for folder in folders]


def newest() -> int:
    """Return the schema version that this library needs."""
    return len(read_steps())


def find_objects() -> frozenset[str]:
    """Return the objects that any step creates, including those that a later step removes."""
    return frozenset[str]().union(*(step.objects for step in read_steps()))


def read_objects(connection: Connection) -> frozenset[str]:
    """Return the objects of a database in the format of `objects.txt`, such as `table users`."""
    return frozenset(
        name
        for name in connection.scalars(text(OBJECTS))
        if name.partition(" ")[2].partition(".")[0] not in BOOKKEEPING
    )
