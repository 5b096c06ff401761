"""Compare a project's files with those that `plinth start` wrote and those of a new release."""

from dataclasses import dataclass, field
from pathlib import Path

from plinth.cli.failure import Failure
from plinth.cli.new.checkout import read
from plinth.cli.new.plan import Change
from plinth.cli.start.record import PIN, Record, digest
from plinth.cli.start.wheel import ProjectFile

PYPROJECT = "pyproject.toml"
MIGRATIONS = "alembic/versions/"  # must not change after they ran


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    Attributes:
        changes: of files that the team has not changed.
        left: the release's changes of files that the team has changed; they are only shown.
        dropped: files that the release no longer writes; they are kept.
    """

    changes: list[Change] = field(default_factory=list)
    left: list[Change] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


def compare(
    project: Path, record: Record, before: dict[str, str], files: list[ProjectFile]
) -> Comparison:
    """
    Args:
        before: the files as the project's release wrote them, if its wheel exists.
        files: those of the new release.
    """
    comparison = Comparison()
    for file in files:
        if not file.name.startswith(MIGRATIONS):
            _compare_file(project, record, before, file, comparison)
    names = {file.name for file in files}
    comparison.dropped.extend(
        name for name in sorted(record.files) if name not in names and (project / name).exists()
    )
    return comparison


def raise_pin(text: str, version: str) -> str:
    """Return the pyproject.toml with the new version in the requirement of the library.

    Raises:
        Failure: there is no requirement with a version.
    """
    minor = ".".join(version.split(".")[:2])
    raised, count = PIN.subn(lambda pin: pin[1] + (version if pin[2] == "==" else minor), text)
    if not count:
        raise Failure(
            f"{PYPROJECT} has no requirement such as plinth-backend[admin,otel]~=2.0: add one."
        )
    return raised


def _compare_file(
    project: Path,
    record: Record,
    before: dict[str, str],
    file: ProjectFile,
    comparison: Comparison,
) -> None:
    path = Path(file.name)
    current, started = read(project, path), record.files.get(file.name)
    if current == file.text:
        return
    is_untouched = started == (None if current is None else digest(current))
    if is_untouched:
        comparison.changes.append(Change(path, file.text, current))
    elif digest(file.text) != started:
        comparison.left.append(Change(path, file.text, before.get(file.name, current)))
