"""Our reader of revisions returns the same revisions as Alembic."""

from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from plinth.db import migrations, revisions
from tests.support.environment import ROOT

INI = (ROOT / "alembic.ini").read_text()
ROOT_AND_BRANCHES = (
    "revision = 'a1'\ndown_revision = None\n",
    'revision: str = "b1"  # of a branch\ndown_revision: str | None = "a1"\n',
    """'Revises: a1'\nrevision = 'b2'\ndown_revision = 'a1'\n""",
)
MERGE = """
from collections.abc import Sequence

revision: str = "c1"
down_revision: str | Sequence[str] | None = (
    "b1",
    "b2",
)
branch_labels = None
depends_on = None
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of another checkout's migrations, in which one stands."""
    versions = tmp_path / "alembic" / "versions"
    versions.mkdir(parents=True)
    (tmp_path / "alembic.ini").write_text(INI)
    for number, text in enumerate(ROOT_AND_BRANCHES):
        (versions / f"{number}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    return versions


def test_head_and_ancestors_match_alembic() -> None:
    assert revisions.head() == read_by_alembic()[0]
    assert revisions.ancestors() == read_by_alembic()[1]
    assert len(revisions.ancestors()) + 1 == len(list((ROOT / "alembic/versions").glob("*.py")))


def test_merged_branches_match_alembic(folder: Path) -> None:
    (folder / "merge.py").write_text(MERGE)
    assert revisions.head() == "c1"
    assert (revisions.head(), revisions.ancestors()) == read_by_alembic()


@pytest.mark.usefixtures("folder")
def test_two_heads_are_both_named() -> None:
    assert revisions.head() == "b1, b2"
    assert revisions.compare("b1") == (
        "at revision b1; this code needs b1, b2",
        "Run `plinth db upgrade` or `alembic upgrade head`.",
    )


def read_by_alembic() -> tuple[str | None, frozenset[str]]:
    script = ScriptDirectory.from_config(migrations.find_config())
    head = script.get_current_head()
    known = frozenset(found.revision for found in script.walk_revisions())
    return head, known - {head}
