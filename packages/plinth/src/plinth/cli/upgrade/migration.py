"""The migration that applies the schema steps of a new release."""

import re
from pathlib import Path

from plinth.cli.failure import Failure
from plinth.cli.new.checkout import read
from plinth.cli.new.migrations import FOLDER, Migration
from plinth.cli.new.plan import Change

STEP = re.compile(r"\bop\.plinth_schema\([^)]*\bto=(\d+)")
TEXT = '''"""Schema {to} of the library

Revision ID: {revision}
Revises: {follows}
Create Date: {made}
"""

from collections.abc import Sequence

from alembic import op

revision: str = "{revision}"
down_revision: str | None = "{follows}"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.plinth_schema(since={since}, to={to})


def downgrade() -> None:
    op.plinth_schema(since={to}, to={since})
'''


def write_step(project: Path, to: int) -> Change | None:
    """Return the migration to write; None if the project's migrations already apply that step.

    Raises:
        Failure: no migration of the project applies any step.
    """
    since = _find_newest(project)
    if since >= to:
        return None
    migration = Migration.begin(f"plinth_schema_{to}")
    text = TEXT.format(
        since=since,
        to=to,
        revision=migration.revision,
        follows=migration.follows,
        made=migration.made,
    )
    return Change(migration.path, text, read(project, migration.path))


def _find_newest(project: Path) -> int:
    steps = []
    for path in (project / FOLDER).glob("*.py"):
        text = read(project, path.relative_to(project)) or ""
        steps += [int(it) for it in STEP.findall(text.partition("\ndef downgrade(")[0])]
    if not steps:
        raise Failure(
            f"No migration in {FOLDER} calls op.plinth_schema: run `alembic revision "
            "--autogenerate` with the current release of the project, then repeat the upgrade."
        )
    return max(steps)
