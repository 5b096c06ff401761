"""`plinth upgrade`: upgrade the library in a project."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from plinth.cli.failure import Failure
from plinth.cli.new import plan
from plinth.cli.new.checkout import read
from plinth.cli.new.plan import Change
from plinth.cli.output import out
from plinth.cli.start import lock, record, wheel
from plinth.cli.start.record import Record
from plinth.cli.upgrade import migration, release, scaffold
from plinth.cli.upgrade.release import Release
from plinth.cli.upgrade.scaffold import PYPROJECT, Comparison

WHEELS = Path("wheels")
LIBRARY_WHEELS = f"{wheel.DISTRIBUTION.replace('-', '_')}-*.whl"


def run(project: Path, given: Path | None, *, check: bool) -> None:
    """
    Args:
        given: the wheel; None for the one that the library was installed from.
        check: only print the changes.

    Raises:
        Failure: nothing was changed.
    """
    started = record.read(project)
    new = _find_release(project, started, given)
    if new is None:
        out.print(f"The project already has {started.version}: there is nothing to do.")
        return
    if not check:
        _refuse_uncommitted(project)
    files = new.read_project(started)
    comparison = scaffold.compare(project, started, _read_before(project, started), files)
    changes = _raise_pin(project, comparison, new)
    if step := migration.write_step(project, new.schema):
        changes.append(step)
    upgraded = replace(started, version=new.version, files=record.digest_all(files))
    if not check:
        changes += _lock(project, new, changes)
        recorded = Change(Path(record.NAME), upgraded.render(), started.render())
        _apply(project, new, [*changes, recorded])  # the record last, so that it can be repeated
        for file in files:
            if file.is_executable and (path := project / file.name).exists():
                path.chmod(path.stat().st_mode | wheel.EXECUTABLE)
    _report(started, new, changes, comparison, check=check)


def _find_release(project: Path, started: Record, given: Path | None) -> Release | None:
    """Return the new release; None if the project already has it."""
    path = given or wheel.installed_from()
    if path is None:
        raise Failure("Pass the new wheel with --wheel PATH.")
    new = release.read(path)
    new_key, old_key = release.version_key(new.version), release.version_key(started.version)
    if new_key < old_key:
        raise Failure(
            f"{path} is {new.version}, but the project has {started.version}: pass a newer wheel."
        )
    existing = project / WHEELS / path.name
    if existing.exists() and existing.read_bytes() != path.read_bytes():
        raise Failure(f"{existing} is another file of that name: remove one of them.")
    return new if new_key > old_key else None


def _refuse_uncommitted(project: Path) -> None:
    """Refuse uncommitted changes in a git repository, to keep them apart from the upgrade."""
    git = shutil.which("git")
    if git is None:
        return
    command = [git, "status", "--porcelain", "--", "."]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if done.returncode == 0 and done.stdout:
        raise Failure(
            f"{project} has uncommitted changes: commit or stash them first, so that `git diff` "
            "shows what the upgrade changes."
        )


def _read_before(project: Path, started: Record) -> dict[str, str]:
    """Return the files as the project's release wrote them; empty if its wheel is missing."""
    paths = (project / WHEELS).glob(LIBRARY_WHEELS)
    releases = [release.read(path) for path in paths]
    return {
        file.name: file.text
        for it in releases
        if it.version == started.version
        for file in it.read_project(started)
    }


def _raise_pin(project: Path, comparison: Comparison, new: Release) -> list[Change]:
    """Return the changes, and that of the pin if the team has edited pyproject.toml."""
    path = Path(PYPROJECT)
    if any(change.path == path for change in comparison.changes):
        return list(comparison.changes)
    current = read(project, path)
    if current is None:
        raise Failure(f"There is no {PYPROJECT}: restore it from version control.")
    raised = scaffold.raise_pin(current, new.version)
    return [*comparison.changes, *([Change(path, raised, current)] if raised != current else [])]


def _lock(project: Path, new: Release, changes: Sequence[Change]) -> list[Change]:
    """Compile the requirements in a temporary folder, with the project's versions."""
    texts = [it.new for it in changes if it.path == Path(PYPROJECT)]
    pyproject = texts[0] if texts else read(project, Path(PYPROJECT))
    names = (lock.RUNTIME, lock.DEVELOPMENT)
    before = {name: read(project, Path(name)) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder)
        (draft / PYPROJECT).write_text(pyproject or "", encoding="utf-8")
        (draft / WHEELS).mkdir()
        for path in [*_foreign_wheels(project), new.path]:
            shutil.copyfile(path, draft / WHEELS / path.name)
        pins = _prefer("".join(it or "" for it in before.values()), wheel.read_pins(new.path))
        if problem := lock.compile_requirements(draft, pins):
            raise Failure(f"{' and '.join(names)} cannot be compiled: {problem}.")
        return [
            Change(Path(name), (draft / name).read_text(encoding="utf-8"), before[name])
            for name in names
        ]


def _prefer(locked: str, tested: str) -> str:
    """Return the project's pins, and the release's for packages that the project lacks."""
    pins = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", f"{tested}\n{locked}", re.MULTILINE))
    pins.pop(wheel.DISTRIBUTION, None)
    return "".join(f"{name}=={version}\n" for name, version in pins.items())


def _foreign_wheels(project: Path) -> list[Path]:
    """Return the other wheels in the project."""
    folder = project / WHEELS
    return sorted({*folder.glob("*.whl")} - {*folder.glob(LIBRARY_WHEELS)})


def _apply(project: Path, new: Release, changes: Sequence[Change]) -> None:
    folder = project / WHEELS
    target = folder / new.path.name
    existed = target.exists()
    try:
        folder.mkdir(exist_ok=True)
        if not existed:
            shutil.copyfile(new.path, target)
        plan.carry_out(project, changes)
    except (OSError, Failure) as error:
        if not existed:
            target.unlink(missing_ok=True)
        raise Failure(str(error)) from error
    for path in folder.glob(LIBRARY_WHEELS):
        if path != target:
            path.unlink()


def _report(
    started: Record,
    new: Release,
    changes: Sequence[Change],
    comparison: Comparison,
    *,
    check: bool,
) -> None:
    verb = "Would upgrade" if check else "Upgraded"
    out.print(f"{verb} from {started.version} to {new.version}:", markup=False)
    out.print(f"  wheel    {WHEELS / new.path.name}", markup=False)
    if check:
        out.print(f"  lock     {lock.RUNTIME} and {lock.DEVELOPMENT}", markup=False)
    plan.show_names(changes)
    for name in comparison.dropped:
        out.print(f"  kept     {name}, which {new.version} no longer writes", markup=False)
    for change in comparison.left:
        out.print(f"  kept     {change.path}, which you have changed", markup=False)
    if comparison.left:
        out.print("The release changed these files, but so did you. Apply the changes you need:")
        plan.show(comparison.left)
    if not check:
        out.print("Next: make install, plinth db upgrade, make check", markup=False)
