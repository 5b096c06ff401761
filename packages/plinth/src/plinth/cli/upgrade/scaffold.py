"""The files that `plinth start` wrote, beside those that the new release would write."""

from dataclasses import dataclass, field
from pathlib import Path

from plinth.cli.failure import Failure
from plinth.cli.new.checkout import read
from plinth.cli.new.plan import Change
from plinth.cli.start.record import PIN, Record, digest
from plinth.cli.start.wheel import ProjectFile

PYPROJECT = "pyproject.toml"
MIGRATIONS = "alembic/versions/"  # never change once they ran


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    Attributes:
        changes: to the files that are as `plinth start` wrote them.
        left: what changed in the scaffold's version of the files that the team has changed.
        dropped: files that the release does not write any more; they stay.
    """

    changes: list[Change] = field(default_factory=list)
    left: list[Change] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


def compare(
    project: Path, record: Record, before: dict[str, str], files: list[ProjectFile]
) -> Comparison:
    """
    Args:
        before: the text of each file as the project's release wrote it, as far as it is known.
        files: those of the new release.
    """
    found = Comparison()
    for file in files:
        if not file.name.startswith(MIGRATIONS):
            _compare_file(project, record, before, file, found)
    names = {file.name for file in files}
    found.dropped.extend(
        name for name in sorted(record.files) if name not in names and (project / name).exists()
    )
    return found


def raise_pin(text: str, version: str) -> str:
    """Return the pyproject.toml with the requirement of the library raised to the version.

    Raises:
        Failure: there is no requirement with a version.
    """
    minor = ".".join(version.split(".")[:2])
    raised, count = PIN.subn(lambda pin: pin[1] + (version if pin[2] == "==" else minor), text)
    if not count:
        raise Failure(
            f"{PYPROJECT} has no requirement such as plinth-backend[admin,otel]~=2.0: write one."
        )
    return raised


def _compare_file(
    project: Path, record: Record, before: dict[str, str], file: ProjectFile, found: Comparison
) -> None:
    path = Path(file.name)
    current, started = read(project, path), record.files.get(file.name)
    if current == file.text:
        return
    is_untouched = started == (None if current is None else digest(current))
    if is_untouched:
        found.changes.append(Change(path, file.text, current))
    elif digest(file.text) != started:
        found.left.append(Change(path, file.text, before.get(file.name, current)))
