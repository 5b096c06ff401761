"""`plinth start`: refused arguments and written files. tests/start runs the project."""

import os
import re
import subprocess
import tarfile
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from zipfile import ZipFile

import pytest

from plinth.cli.failure import Failure
from plinth.cli.start import create
from tests.support.environment import ROOT
from tests.support.wheels import LIBRARY, build

WHEEL = "plinth_backend-2.0.0-py3-none-any.whl"
WRONG_NAMES = ("Shop", "9shop", "-shop", "web_shop", "web--shop", "shop-", "sh op", "s" * 41, "..")
TAKEN_NAMES = ("plinth", "plinth-backend", "postgres", "app")
# The distribution is plinth-backend; `plinth` on the package index is another project.
FOREIGN = re.compile(
    r"(?:\b(?:pip3?|uv|pipx)\b[^\n|;&`]*\b(?:install|add)\s(?:[^\n|;&`]*\s)?|--from[ =])"
    r"[\"']?plinth(?![\w./-])"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(autouse=True)
def no_resolver(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A `uv` that fails as without a network."""
    uv = tmp_path_factory.mktemp("bin") / "uv"
    uv.write_text(
        "#!/bin/sh\necho 'error: no index' >&2\necho '  Caused by: dns error' >&2\nexit 2\n"
    )
    uv.chmod(0o755)
    monkeypatch.setenv("UV", str(uv))


def refusal(folder: Path, wheel: Path | None = None) -> str:
    """Check that no file was written, and return the message."""
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(Failure) as refused:
        create.run(folder, wheel)
    assert sorted(folder.parent.rglob("*")) == before
    return str(refused.value)


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_invalid_name_is_refused(tmp_path: Path, name: str) -> None:
    assert "is not a valid project name" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", TAKEN_NAMES)
def test_reserved_name_is_refused(tmp_path: Path, name: str) -> None:
    assert "choose another name" in refusal(tmp_path / name)


def test_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / ".env").touch()
    assert "is not empty" in refusal(tmp_path / "shop")


def test_file_and_symlink_are_refused(tmp_path: Path) -> None:
    (tmp_path / "shop").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("shop", "link"):
        assert "is not a folder" in refusal(tmp_path / name)


def test_a_missing_parent_is_refused(tmp_path: Path) -> None:
    assert f"There is no folder {tmp_path / 'away'}" in refusal(tmp_path / "away" / "shop")


def test_wrong_or_damaged_wheel_is_refused(tmp_path: Path, wheel: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "plinth_backend-1.0.0-py3-none-any.whl").touch()
    (wheels / WHEEL).write_bytes(wheel.read_bytes()[:-2000])
    folder = tmp_path / "shop"
    assert "there is no file" in refusal(folder, wheels / "plinth_backend-2.0.0.whl")
    assert "is not a wheel of plinth-backend 2.0.0" in refusal(
        folder, wheels / "plinth_backend-1.0.0-py3-none-any.whl"
    )
    assert "is damaged" in refusal(folder, wheels / WHEEL)
    with ZipFile(wheels / WHEEL, "w") as archive:
        archive.writestr("plinth/__init__.py", "")
    assert "contains no project" in refusal(folder, wheels / WHEEL)


def written(folder: Path) -> Mapping[str, str]:
    files = (it for it in sorted(folder.rglob("*")) if it.is_file() and it.suffix != ".whl")
    return {it.relative_to(folder).as_posix(): it.read_text() for it in files}


def test_project_is_written_with_its_name(
    tmp_path: Path, wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "web-shop"
    folder.mkdir()

    create.run(folder, wheel)

    assert [it.name for it in tmp_path.iterdir()] == ["web-shop"]
    assert (folder / "wheels" / WHEEL).read_bytes() == wheel.read_bytes()
    files = written(folder)
    assert 'name = "web-shop"' in files["pyproject.toml"]
    assert "plinth-backend[admin,otel]~=2.0" in files["pyproject.toml"]
    assert 'POSTGRES_DB: str = "web_shop"' in files["app/core/config.py"]
    assert "name: web-shop\n" in files["compose.yaml"]
    assert "POSTGRES_DB:-web_shop}" in files["compose.yaml"]
    assert os.access(folder / "deploy" / "entrypoint.sh", os.X_OK)
    assert [
        name for name, text in files.items() if re.search("(?<!site-)packages/plinth", text)
    ] == []
    left = [name for name, text in files.items() if re.search(r"\{\{ (name|database)", text)]
    assert left == []


def test_project_without_a_network_lacks_only_its_requirements(
    tmp_path: Path, wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create.run(tmp_path / "shop", wheel)

    printed = capsys.readouterr()
    assert printed.err == (
        "requirements.txt and requirements-dev.txt were not compiled: uv could not resolve them "
        "(dns error).\n"
    )
    assert not list((tmp_path / "shop").glob("requirements*"))


def test_project_has_the_application_files_of_the_repository(tmp_path: Path, wheel: Path) -> None:
    create.run(tmp_path / "shop", wheel)

    files = written(tmp_path / "shop")
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "app", "alembic.ini", "alembic/*.*"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = set(filter(None, tracked.stdout.decode().split("\0")))
    names -= {name for name in names if name.startswith("alembic/versions/")}
    assert names <= set(files)
    different = {name for name in names if files[name] != (ROOT / name).read_text()}
    assert different == {"app/core/config.py"}


def test_project_readme_has_the_same_table_of_files() -> None:
    project = (LIBRARY / "src/plinth/cli/start/project/README.md.jinja").read_text()
    assert read_table(project) == read_table((ROOT / "README.md").read_text())
    pages = set(re.findall(r"docs/[\w/-]+\.md", project))
    assert "docs/how-to/on-call.md" in pages
    assert [page for page in sorted(pages) if not (ROOT / page).exists()] == []


def read_table(readme: str) -> list[list[str]]:
    """Return the rows of "Which file to change", without the column of pages."""
    section = readme.partition("## Which file to change\n")[2].partition("\n## ")[0]
    rows = [line.split(" | ")[:2] for line in section.splitlines() if line.startswith("|")]
    assert rows
    return rows


def hook() -> ModuleType:
    spec = spec_from_file_location("hatch_build", LIBRARY / "hatch_build.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_edit_without_a_match_fails_the_build() -> None:
    module = hook()
    module.EDITS["compose.yaml"].append(("a text that is not there", "", 1))
    with pytest.raises(RuntimeError, match="is there 0 times and not 1: bring EDITS"):
        list(module.project_files(ROOT))


def test_source_distribution_builds_the_same_wheel(tmp_path: Path, wheel: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = (it for it in tmp_path.iterdir() if it.is_dir())

    again = build("wheel", tmp_path, unpacked)

    with ZipFile(wheel) as one, ZipFile(again) as other:
        contents = [{it.filename: it.CRC for it in zipped.infolist()} for zipped in (one, other)]
    assert contents[0].keys() == contents[1].keys()
    records = {name for name in contents[0] if name.endswith("/RECORD")}
    assert {n for n in contents[0] if contents[0][n] != contents[1][n]} <= records


def test_incomplete_checkout_builds_no_wheel(tmp_path: Path) -> None:
    module = hook()
    library = tmp_path / "packages" / "plinth"
    half = module.ProjectHook(str(library), {}, None, None, "", "wheel")
    with pytest.raises(RuntimeError, match="in a checkout of the whole repository"):
        half.initialize("standard", {})


@pytest.mark.parametrize(
    ("text", "is_foreign"),
    [
        ("pip install plinth", True),
        ("uv pip install -U 'plinth[admin]==2'", True),
        ("uvx --from plinth plinth start shop", True),
        ("uv add plinth", True),
        ("pip install plinth-backend", False),
        ("pip install packages/plinth", False),
        ("uvx --from ./plinth_backend-2.0.0-py3-none-any.whl plinth start shop", False),
        ("uv pip install -r requirements.txt && plinth doctor", False),
    ],
)
def test_a_foreign_package_is_recognized(text: str, is_foreign: bool) -> None:
    assert bool(FOREIGN.search(text)) is is_foreign


def test_no_file_recommends_installing_the_foreign_package(tmp_path: Path, wheel: Path) -> None:
    create.run(tmp_path / "shop", wheel)
    listed = subprocess.run(
        ["git", "ls-files", "-zco", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    ours = [ROOT / name for name in filter(None, listed.stdout.decode().split("\0"))]
    theirs = [it for it in (tmp_path / "shop").rglob("*") if it.suffix != ".whl"]
    guilty = [
        str(file)
        for file in (*ours, *theirs)
        if file.is_file()
        and file != Path(__file__)
        and FOREIGN.search(file.read_bytes().decode(errors="replace"))
    ]
    assert guilty == [], "the distribution is plinth-backend: `plinth` is another project"
