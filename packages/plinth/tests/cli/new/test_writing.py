"""`plinth new` and `plinth remove` change all files of a checkout, or none."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from plinth import project
from plinth.cli.failure import Failure
from plinth.cli.new import checkout, create, plan, remove
from plinth.cli.new.plan import Change
from tests.support.command import plinth
from tests.support.environment import ROOT

FIELDS = ("title:str:200", "body:text?", "author:ref:users?")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the part of a checkout that `plinth new` reads or writes."""
    for folder in ("alembic", "app/api", "app/crud", "app/models", "app/schemas"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    for file in ("alembic.ini", "pyproject.toml", "app/__init__.py"):
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / "tests" / "api").mkdir(parents=True)
    monkeypatch.setattr(project, "find_root", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(root: Path) -> dict[str, str]:
    return {
        str(file.relative_to(root)): file.read_text()
        for file in sorted(root.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }


def make(
    name: str, *fields: str, search: str | None = None, owned: bool = True, dry_run: bool = False
) -> None:
    create.run(
        name,
        fields,
        plural=None,
        owned=owned,
        public=False,
        search=search,
        unique=(),
        dry_run=dry_run,
    )


def make_sundial(*fields: str, dry_run: bool = False) -> None:
    make("sundial", *(fields or FIELDS), search="title,body", dry_run=dry_run)


def test_new_then_remove_restores_the_checkout(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(root)

    make_sundial()
    written = contents(root)
    assert len(written) == len(before) + 6
    assert {name for name in before if before[name] != written[name]} == {
        "app/api/v1/__init__.py",
        "app/crud/__init__.py",
        "app/models/__init__.py",
    }
    capsys.readouterr()
    make_sundial()
    assert contents(root) == written
    assert "Nothing to do" in capsys.readouterr().out

    monkeypatch.setattr(remove, "refuse_applied", lambda *_: None)  # it has no database
    remove.run("sundial", dry_run=False, yes=True)
    assert contents(root) == before


def test_dry_run_shows_the_diff_and_changes_nothing(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(root)

    make_sundial(dry_run=True)

    shown = capsys.readouterr().out
    assert "+class Sundial(Owned, Versioned, Timestamped, NumberedBase):" in shown
    assert "+++ b/app/api/v1/__init__.py" in shown
    assert contents(root) == before


def test_changed_file_is_not_overwritten(root: Path) -> None:
    make_sundial()
    model = root / "app/models/sundial.py"
    model.write_text(model.read_text() + "# mine\n")
    before = contents(root)

    for fields in (FIELDS, (*FIELDS, "more:int")):
        with pytest.raises(Failure, match=r"^app/models/sundial\.py exists with different content"):
            make_sundial(*fields)
    assert contents(root) == before


def test_missing_list_is_reported_and_nothing_is_written(root: Path) -> None:
    table_of_contents = root / "app/api/v1/__init__.py"
    table_of_contents.write_text(table_of_contents.read_text().replace("PRIVATE = [", "MINE = ["))
    before = contents(root)

    with pytest.raises(Failure, match=r"app/api/v1/__init__\.py cannot be extended: .* PRIVATE"):
        make_sundial()
    assert contents(root) == before


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("db", "dbs.py would use db for two things"),
        ("response", "responses.py would use Response for two things"),
        ("table", "table.py would use Table for two things"),
        ("base", "app/models/base.py exists with different content"),
    ],
)
def test_ambiguous_name_is_refused(root: Path, name: str, why: str) -> None:
    before = contents(root)
    with pytest.raises(Failure, match=why):
        make(name, "title:str")
    assert contents(root) == before


def test_longest_name_fits_the_line_length(root: Path) -> None:
    make("x" * 38, "title:str", f"{'y' * 18}:str", search="title")
    make(f"{'z' * 19}_{'z' * 18}", "title:str", owned=False)


def test_code_that_fails_ruff_is_not_written(root: Path) -> None:
    with pytest.raises(Failure, match=r"app/x\.py would not pass ruff: .* F401 "):
        checkout.check_lint(root, Path("app/x.py"), "import os\n")


def test_resource_is_created_and_removed_by_singular_or_plural(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(root)
    make("sundials", "title:str", "token:str")
    assert "the resource is named sundial" in capsys.readouterr().out
    assert (root / "app/models/sundial.py").exists()
    monkeypatch.setattr(remove, "refuse_applied", lambda *_: None)  # it has no database
    remove.run("sundials", dry_run=False, yes=True)
    assert contents(root) == before


def test_existing_routes_of_the_same_path_are_refused(root: Path) -> None:
    (root / "app/api/v1/memos.py").write_text('router = APIRouter(prefix="/sundials")\n')
    with pytest.raises(Failure, match=r"app/api/v1/memos\.py has routes under /sundials"):
        make_sundial()


def test_existing_table_in_tests_is_refused(root: Path) -> None:
    (root / "tests" / "apart.py").write_text('    __tablename__ = "sundials"\n')
    with pytest.raises(Failure, match=r"tests/apart\.py has a table sundials"):
        make_sundial()


def test_missing_ruff_is_reported(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(root / "bin" / "python"))
    with pytest.raises(Failure, match=r"bin/ruff is missing, .*`make install`"):
        make_sundial()


@pytest.mark.parametrize("spoil", ["a file for the folder", "in the way"])
def test_failure_during_new_changes_nothing(
    root: Path, spoil: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if spoil == "a file for the folder":
        monkeypatch.setattr(checkout, "NEEDED", ())
        (root / "tests" / "api").rmdir()
        (root / "tests" / "api").touch()
    else:
        (root / "tests" / "api" / "test_sundials.py").mkdir()
    monkeypatch.setattr(checkout, "read", _read_files)
    before = contents(root)

    with pytest.raises(Failure, match=r"tests/api.*Nothing was changed"):
        make_sundial()
    assert contents(root) == before


def _read_files(root: Path, path: Path) -> str | None:
    return (root / path).read_text() if (root / path).is_file() else None


def test_failure_restores_changed_and_removed_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old a")
    (tmp_path / "b").write_text("old b")
    changes = [
        Change(Path("a"), "new a", "old a"),
        Change(Path("b"), None, "old b"),
        Change(Path("c"), "new c", None),
        Change(Path("nowhere"), None, "was not there"),
    ]
    with pytest.raises(Failure, match="Nothing was changed"):
        plan.carry_out(tmp_path, changes)
    assert contents(tmp_path) == {"a": "old a", "b": "old b"}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def _add_migration(root: Path) -> None:
    made = next((root / "alembic/versions").glob("*_sundials.py")).read_text()
    at = made.split('revision: str = "')[1][:12]
    _write(
        root / "alembic/versions/2099-01-01_0000_more.py",
        f'revision = "0123456789ab"\ndown_revision = "{at}"\n\n\n'
        'def upgrade() -> None:\n    op.add_column("sundials", 1)\n',
    )


REFUSED: dict[str, Callable[[Path], object]] = {
    "app/services/uses.py uses sundial": lambda root: _write(
        root / "app/services/uses.py", "from app import crud\n\ncrud.sundial.find\n"
    ),
    "tests/uses.py uses sundial": lambda root: _write(
        root / "tests/uses.py", "from app.models import (\n    Sundial,\n)\n"
    ),
    "changes the table too": _add_migration,
    "is not a resource that `plinth new` generated": lambda root: (
        root / "app/models/sundial.py"
    ).unlink(),
}


@pytest.mark.parametrize("why", REFUSED)
def test_resource_still_in_use_is_not_removed(root: Path, why: str) -> None:
    make_sundial()
    REFUSED[why](root)
    before = contents(root)

    with pytest.raises(Failure, match=why):
        remove.run("sundial", dry_run=False, yes=True)
    assert contents(root) == before


@pytest.mark.parametrize("name", ["user", "session", "nothing", "../models/user"])
def test_remove_refuses_resources_it_did_not_generate(root: Path, name: str) -> None:
    with pytest.raises(Failure, match="is not a resource that `plinth new` generated"):
        remove.run(name, dry_run=False, yes=True)


def revision_of(migration: Path) -> str:
    return migration.read_text().split('revision: str = "')[1][:12]


def test_removing_an_older_table_writes_a_migration(root: Path) -> None:
    make_sundial()
    (at,) = (root / "alembic/versions").glob("*_sundials.py")
    at = at.rename(at.with_name("2026-01-01_0000_sundials.py"))  # not in this minute
    newest = revision_of(at)
    _write(
        root / "alembic/versions/2099-01-01_0000_other.py",
        f'revision = "0123456789ab"\ndown_revision = "{newest}"\n',
    )

    remove.run("sundial", dry_run=False, yes=True)

    (drop,) = (root / "alembic/versions").glob("*_drop_sundials.py")
    up, _, down = drop.read_text().partition("def downgrade() -> None:\n")
    assert "DROP TABLE sundials" in up
    assert 'down_revision: str | None = "0123456789ab"' in up
    assert down in at.read_text()

    make_sundial()
    again = [
        it for it in (root / "alembic/versions").glob("*_sundials.py") if "_drop_" not in it.name
    ]
    assert drop in (root / "alembic/versions").iterdir()
    assert f'down_revision: str | None = "{revision_of(drop)}"' in max(again).read_text()


def test_command_reports_an_invalid_type_in_one_sentence() -> None:
    refused = plinth("new", "sundial", "title:varchar", "--plural", "sundials")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "title:varchar: varchar is not a type; choose one of str, text, int, float, decimal, bool, "
        "date, datetime, uuid, json, ref.\n"
    )
