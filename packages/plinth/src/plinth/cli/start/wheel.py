"""The library's wheel, from which a project is created and which it keeps."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname
from zipfile import BadZipFile, ZipFile

from jinja2 import Environment, StrictUndefined

from plinth.cli.failure import Failure

DISTRIBUTION = "plinth-backend"
FOLDER = "plinth/cli/start/project/"
PINS = "plinth/cli/start/pins.txt"
EXECUTABLE = 0o111


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """
    Attributes:
        name: its path in the project.
    """

    name: str
    text: str
    is_executable: bool


@contextmanager
def find_wheel(given: Path | None) -> Iterator[Path]:
    """Yield the wheel: the given one, or the one that the library was installed from.

    In a checkout, build a temporary one.

    Raises:
        Failure: there is no wheel, or it has another version.
    """
    with tempfile.TemporaryDirectory() as folder:
        wheel = given or installed_from() or _build(Path(folder))
        _check(wheel)
        yield wheel


def read_project(wheel: Path, **values: str) -> list[ProjectFile]:
    """Return the files of a new project, with the values filled in."""
    environment = Environment(
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - the output is not HTML
    )
    files = []
    with ZipFile(wheel) as archive:
        for info in archive.infolist():
            name = info.filename.removeprefix(FOLDER)
            if name == info.filename or info.is_dir():
                continue
            text = archive.read(info).decode()
            if name.endswith(".jinja"):
                text = environment.from_string(text).render(values)
            is_executable = bool(info.external_attr >> 16 & EXECUTABLE)
            files.append(ProjectFile(name.removesuffix(".jinja"), text, is_executable))
    return files


def read_pins(wheel: Path) -> str:
    """Return the versions that the release was tested with, as lines of `name==version`."""
    with ZipFile(wheel) as archive:
        return archive.read(PINS).decode()


def running_version() -> str:
    """Return the version of the library.

    Raises:
        Failure: the library is not installed.
    """
    try:
        return distribution(DISTRIBUTION).version
    except PackageNotFoundError:
        raise Failure(f"{DISTRIBUTION} is not installed: install its wheel.") from None


def installed_from() -> Path | None:
    """Return the wheel that pip or uv recorded (PEP 610); None for an installed folder."""
    origin = _origin()
    if "archive_info" not in origin:
        return None
    file = _local_path(str(origin["url"]))
    if file is None or not file.is_file():
        raise Failure(
            f"The wheel that plinth was installed from no longer exists: {origin['url']}. "
            "Pass a wheel with --wheel PATH."
        )
    return file


def _origin() -> dict[str, object]:
    running_version()
    text = distribution(DISTRIBUTION).read_text("direct_url.json")
    origin: dict[str, object] = json.loads(text) if text else {}
    return origin


def _local_path(url: str) -> Path | None:
    parts = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def _build(folder: Path) -> Path:
    """Build the wheel from the library's checkout."""
    origin = _origin()
    library = _local_path(str(origin.get("url", "")))
    if "dir_info" not in origin or library is None or not (library / "hatch_build.py").is_file():
        raise Failure("plinth was not installed from a wheel: pass one with --wheel PATH.")
    command: list[str | Path] = [
        require_uv(),
        "build",
        "--quiet",
        "--wheel",
        "--out-dir",
        folder,
        library,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"The wheel of {library} could not be built:\n{done.stderr.strip()}")
    return next(folder.glob("*.whl"))


def find_uv() -> str | None:
    """Return the path of uv: from the variable UV, from PATH, or in the folder of Python."""
    sibling = Path(sys.executable).with_name("uv")
    return (
        os.environ.get("UV") or shutil.which("uv") or (str(sibling) if sibling.exists() else None)
    )


def require_uv() -> str:
    if uv := find_uv():
        return uv
    raise Failure("uv is not installed: install it, or pass a wheel with --wheel PATH.")


def _check(wheel: Path) -> None:
    version = running_version()
    expected = f"{DISTRIBUTION.replace('-', '_')}-{version}-"
    if not wheel.is_file():
        raise Failure(f"--wheel: there is no file {wheel}.")
    if not (wheel.name.startswith(expected) and wheel.suffix == ".whl"):
        raise Failure(f"--wheel: {wheel.name} is not a wheel of {DISTRIBUTION} {version}.")
    try:
        with ZipFile(wheel) as archive:
            is_complete = f"{FOLDER}app/main.py" in archive.namelist()
    except BadZipFile:
        raise Failure(f"--wheel: {wheel} is damaged: download or build it again.") from None
    if not is_complete:
        raise Failure(f"--wheel: {wheel} contains no project: build it with `make wheel`.")
