"""`plinth start`: write a new project."""

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from plinth.cli.failure import Failure
from plinth.cli.output import out, warn
from plinth.cli.start import lock, record, wheel
from plinth.cli.start.record import Record
from plinth.cli.start.wheel import ProjectFile
from plinth.db.schema import steps

# Valid as the name of a Python distribution, a Compose project, a database and an image.
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MAX_NAME_LENGTH = 40
# The library, PostgreSQL's default database, and folders of the project.
RESERVED = {"plinth", "plinth-backend", "postgres", "app", "alembic", "tests"}


def run(folder: Path, given: Path | None) -> None:
    """
    Args:
        given: the wheel; None for the one that the library was installed from.

    Raises:
        Failure: nothing was written.
    """
    name = folder.name
    _check_name(name)
    _check_folder(folder)
    database, version = name.replace("-", "_"), wheel.running_version()
    with wheel.find_wheel(given) as found:
        files = wheel.read_project(
            found, name=name, database=database, version=version, schema=str(steps.newest())
        )
        started = Record(version, name, database, record.digest_all(files))
        files.append(ProjectFile(record.NAME, started.render(), is_executable=False))
        problem = _create(folder, files, found)
    out.print(f"Created the project in {folder}.", markup=False)
    if problem:
        names = f"{lock.RUNTIME} and {lock.DEVELOPMENT}"
        warn(f"{names} were not compiled: {problem}.")
    commands = "make lock && make dev" if problem else "make dev"
    out.print(f"Next: cd {folder} && {commands}", markup=False)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        raise Failure(
            f"{name!r} is not a valid project name: use at most {MAX_NAME_LENGTH} lower-case "
            "letters, digits and single hyphens, starting with a letter, such as shop or web-shop."
        )
    if name in RESERVED:
        raise Failure(f"{name!r} is a reserved name: choose another name.")


def _check_folder(folder: Path) -> None:
    if not folder.parent.is_dir():
        raise Failure(f"There is no folder {folder.parent}: create it, or choose another path.")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise Failure(f"{folder} exists and is not a folder: choose another name.")
    if folder.is_dir() and any(folder.iterdir()):
        raise Failure(f"{folder} is not empty: choose another name, or empty it.")


def _create(folder: Path, files: Sequence[ProjectFile], found: Path) -> str | None:
    """Write the project to a temporary folder and move it to `folder`, so that it is complete.

    Returns:
        Why the requirements were not compiled; None if they were.
    """
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as draft:
            project = Path(draft, folder.name)
            for file in files:
                path = project / file.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(file.text, encoding="utf-8")
                if file.is_executable:
                    path.chmod(path.stat().st_mode | wheel.EXECUTABLE)
            (project / "wheels").mkdir()
            shutil.copyfile(found, project / "wheels" / found.name)
            problem = lock.compile_requirements(project, wheel.read_pins(found))
            project.replace(folder)  # may exist if it is empty
    except OSError as error:
        raise Failure(f"{folder} cannot be written: {error.strerror or error}.") from error
    return problem
