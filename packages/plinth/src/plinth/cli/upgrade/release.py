"""Read a release of the library from its wheel, without installing it."""

import re
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from jinja2 import UndefinedError

from plinth.cli.failure import Failure
from plinth.cli.start import wheel
from plinth.cli.start.record import Record
from plinth.cli.start.wheel import DISTRIBUTION, ProjectFile

VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:\.?(dev|a|b|rc)(\d+))?")
STEP = re.compile(r"plinth/db/schema/sql/\d{4}_\w+/up\.sql")
PHASES = ("dev", "a", "b", "rc", None)


@dataclass(frozen=True, slots=True)
class Release:
    """
    Attributes:
        schema: the number of its newest schema step.
    """

    path: Path
    version: str
    schema: int

    def read_project(self, record: Record) -> list[ProjectFile]:
        """Return the files that `plinth start` of this release writes.

        Raises:
            Failure: the release's templates need other values than this code passes.
        """
        values = {"name": record.name, "database": record.database}
        try:
            return wheel.read_project(
                self.path, **values, version=self.version, schema=str(self.schema)
            )
        except UndefinedError:
            raise Failure(
                f"Upgrading to {self.version} requires the `plinth` of that release: run "
                f"`uv tool run --from {self.path} plinth upgrade`."
            ) from None


def read(path: Path) -> Release:
    """
    Raises:
        Failure: there is no such file, or it is not a wheel of the library.
    """
    if not path.is_file():
        raise Failure(f"There is no file {path}: pass the new wheel with --wheel PATH.")
    try:
        with ZipFile(path) as archive:
            names = archive.namelist()
            metadata = next((it for it in names if it.endswith(".dist-info/METADATA")), None)
            headers = archive.read(metadata).decode() if metadata else ""
    except (BadZipFile, OSError, UnicodeDecodeError):
        raise Failure(f"{path} is damaged, or not a wheel: download or build it again.") from None
    fields = HeaderParser().parsestr(headers)
    name, version = fields["Name"], fields["Version"]
    expected = f"{DISTRIBUTION.replace('-', '_')}-{version}-"
    if name != DISTRIBUTION or not (path.name.startswith(expected) and path.suffix == ".whl"):
        raise Failure(f"{path} is not a wheel of {DISTRIBUTION}, or was renamed.")
    if not VERSION.fullmatch(version) or f"{wheel.FOLDER}app/main.py" not in names:
        raise Failure(f"{path} contains no project: build it with `make wheel`.")
    return Release(path, version, sum(STEP.fullmatch(it) is not None for it in names))


def version_key(version: str) -> tuple[int, ...]:
    """Return the sort key of a version (PEP 440, only the forms that Plinth uses).

    Raises:
        Failure: the version has another form.
    """
    match = VERSION.fullmatch(version)
    if match is None:
        raise Failure(f"{version!r} is not a version such as 2.0.0.")
    major, minor, patch, phase, number = match.groups()
    return int(major), int(minor), int(patch), PHASES.index(phase), int(number or 0)
