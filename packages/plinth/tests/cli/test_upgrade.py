"""`plinth upgrade`: changed files, kept files and refusals.

tests/upgrade runs a project before and after an upgrade.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from plinth.cli.failure import Failure
from plinth.cli.start import create
from plinth.cli.upgrade.release import version_key
from plinth.cli.upgrade.run import run
from plinth.db.schema import steps
from tests.support.releases import repack
from tests.support.wheels import build

PROJECT = "plinth/cli/start/project/"
STEP = "plinth/db/schema/sql/0002_label"
COMMENT = "# of the new release\n"
OURS = "# of the team\n"
UV = '#!/bin/sh\ncase $FAULT in ?*) echo "error: $FAULT" >&2; exit 2;; esac\n'


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("old"))


@pytest.fixture(scope="module")
def new(old: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a step of the schema, two changed files of the scaffold and a new one."""

    def commented(text: str) -> str:
        return COMMENT + text

    return repack(
        old,
        tmp_path_factory.mktemp("new"),
        "2.1.0",
        edits={
            PROJECT + name: commented
            for name in ("Dockerfile.jinja", "deploy/healthcheck.py", "deploy/entrypoint.sh.jinja")
        }
        | {f"{PROJECT}deploy/build-requirements.txt": lambda _: ""},
        more={f"{STEP}/{name}": "" for name in ("up.sql", "down.sql", "objects.txt")}
        | {f"{PROJECT}deploy/more.txt": "more\n"},
    )


@pytest.fixture
def shop(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project; its requirements are what an index that has all of it would give."""
    uv = tmp_path / "uv"
    uv.write_text(UV)
    uv.chmod(0o755)
    monkeypatch.setenv("UV", str(uv))
    create.run(tmp_path / "shop", old)
    monkeypatch.chdir(tmp_path / "shop")
    return tmp_path / "shop"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(it.relative_to(folder)): it.read_bytes()
        for it in folder.rglob("*")
        if it.is_file() and ".git" not in it.parts
    }


def refusal(project: Path, wheel: Path | None) -> str:
    """Check that no file was changed, and return the message."""
    before = contents(project)
    with pytest.raises(Failure) as refused:
        run(project, wheel, check=False)
    assert contents(project) == before
    return str(refused.value)


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in before | after if before.get(name) != after.get(name)}


def test_unchanged_files_are_updated_and_changed_files_kept(
    shop: Path, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dockerfile, readme = shop / "Dockerfile", shop / "README.md"
    dockerfile.write_text(OURS + dockerfile.read_text())
    readme.write_text(OURS)
    before = contents(shop)

    run(shop, new, check=False)

    printed = capsys.readouterr().out
    after = contents(shop)
    (migration,) = {name for name in after.keys() - before.keys() if "alembic" in name}
    assert changed(before, after) == {
        ".plinth.json", "deploy/entrypoint.sh", "deploy/healthcheck.py", "deploy/more.txt",
        migration, "pyproject.toml", "wheels/plinth_backend-2.0.0-py3-none-any.whl",
        "wheels/plinth_backend-2.1.0-py3-none-any.whl",
    }  # fmt: skip
    assert (shop / "deploy" / "healthcheck.py").read_text().startswith(COMMENT)
    assert (shop / "deploy" / "entrypoint.sh").stat().st_mode & 0o111
    assert 'plinth-backend[admin,otel]~=2.1"' in (shop / "pyproject.toml").read_text()
    text = (shop / migration).read_text()
    assert 'down_revision: str | None = "b1d4f6a80c27"' in text
    assert f"op.plinth_schema(since={steps.newest()}, to={steps.newest() + 1})" in text
    assert "Dockerfile, which you have changed" in printed
    assert f"+{COMMENT}" in printed  # the change of the scaffold in the Dockerfile
    assert f"-{OURS}" not in printed
    assert "README" not in printed  # unchanged in the scaffold
    assert "build-requirements.txt, which 2.1.0 no longer writes" in printed


def test_the_pin_is_raised_in_a_changed_pyproject(
    shop: Path, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pyproject = shop / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + OURS)
    text = pyproject.read_text()

    run(shop, new, check=False)

    assert pyproject.read_text() == text.replace("~=2.0", "~=2.1")
    assert "which you have changed" not in capsys.readouterr().out  # only the pin differs


def test_a_second_upgrade_finds_nothing_to_do(
    shop: Path, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(shop, new, check=False)
    before = contents(shop)
    capsys.readouterr()

    run(shop, new, check=False)

    assert contents(shop) == before
    assert "already has 2.1.0" in capsys.readouterr().out


def test_an_interrupted_upgrade_is_completed(shop: Path, new: Path) -> None:
    record = (shop / ".plinth.json").read_text()
    run(shop, new, check=False)
    whole = contents(shop)
    (shop / ".plinth.json").write_text(record)
    (shop / "deploy" / "more.txt").unlink()

    run(shop, new, check=False)

    assert contents(shop) == whole


def test_upgrade_check_changes_nothing(
    shop: Path, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(shop)

    run(shop, new, check=True)

    assert contents(shop) == before
    printed = capsys.readouterr().out
    assert "Would upgrade from 2.0.0 to 2.1.0" in printed
    migration = f"plinth_schema_{steps.newest() + 1}.py"
    for name in ("Dockerfile", "pyproject.toml", migration, "deploy/more.txt"):
        assert name in printed


def _no_record(shop: Path) -> None:
    (shop / ".plinth.json").unlink()


def _damaged_record(shop: Path) -> None:
    (shop / ".plinth.json").write_text("[]")


def _no_pin(shop: Path) -> None:
    (shop / "pyproject.toml").write_text("[project]\n")


def _no_pyproject(shop: Path) -> None:
    (shop / "pyproject.toml").unlink()


def _no_migration(shop: Path) -> None:
    for path in (shop / "alembic" / "versions").glob("*.py"):
        path.unlink()


def _other_wheel(shop: Path) -> None:
    (shop / "wheels" / "plinth_backend-2.1.0-py3-none-any.whl").write_bytes(b"PK")


def _uncommitted(shop: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=shop, check=True)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_no_record, "that `plinth start` created"),
        (_damaged_record, ".plinth.json is damaged"),
        (_no_pin, "has no requirement such as plinth-backend"),
        (_no_pyproject, "There is no pyproject.toml"),
        (_no_migration, "calls op.plinth_schema"),
        (_other_wheel, "is another file of that name"),
        (_uncommitted, "has uncommitted changes"),
    ],
)
def test_a_project_that_cannot_be_upgraded_is_refused(
    shop: Path, new: Path, spoil: Callable[[Path], None], sentence: str
) -> None:
    spoil(shop)
    assert sentence in refusal(shop, new)


def test_an_unresolvable_requirement_is_refused(
    shop: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULT", "no such package")
    assert "cannot be compiled: uv could not resolve them" in refusal(shop, new)


def test_a_wrong_wheel_is_refused(shop: Path, old: Path, tmp_path: Path) -> None:
    broken, renamed = tmp_path / "broken.whl", tmp_path / "renamed.whl"
    broken.write_bytes(b"PK")
    renamed.write_bytes(old.read_bytes())
    foreign = repack(old, tmp_path, "2.1.0", name="other")
    older = repack(old, tmp_path, "1.9.0")
    empty = repack(old, tmp_path, "2.2.0", edits={f"{PROJECT}app/main.py": lambda _: ""})
    assert "There is no file" in refusal(shop, tmp_path / "away.whl")
    assert "is damaged, or not a wheel" in refusal(shop, broken)
    assert "is not a wheel of plinth-backend" in refusal(shop, renamed)
    assert "is not a wheel of plinth-backend" in refusal(shop, foreign)
    assert "is 1.9.0, but the project has 2.0.0" in refusal(shop, older)
    assert "contains no project" in refusal(shop, empty)
    assert "Pass the new wheel with --wheel PATH" in refusal(shop, None)


def test_new_template_values_require_the_new_release(shop: Path, old: Path, tmp_path: Path) -> None:
    new = repack(old, tmp_path, "2.1.0", more={f"{PROJECT}new.txt.jinja": "{{ new }}"})
    assert f"uv tool run --from {new} plinth upgrade" in refusal(shop, new)


def test_versions_are_ordered() -> None:
    versions = ["10.0.0", "2.10.0", "2.1.0", "2.0.1", "2.0.0", "2.0.0rc2", "2.0.0a1", "2.0.0.dev1"]
    assert sorted(versions, key=version_key, reverse=True) == versions
    assert sorted(versions, key=version_key) == versions[::-1]
    with pytest.raises(Failure, match="is not a version"):
        version_key("two")
