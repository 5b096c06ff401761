"""Keep the current version of the library as test data: `make -C packages/plinth keep-release`.

Run it when a release is cut (docs/how-to/maintain.md). A second run for the same version changes
nothing.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import plinth.testing.isolation  # noqa: F401 - before anything that reads a setting

# isort: split
from plinth.testing.databases import test_services
from tests.start.conftest import make_bare_shell, open_folder
from tests.support.wheels import build
from tests.upgrade.kept import RELEASES, find_releases, keep
from tests.upgrade.release import read_version
from tests.upgrade.running import empty_servers

MAX_RELEASES = 2


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade", description=__doc__)
    parser.add_argument("--folder", type=Path, default=RELEASES, help="where releases are kept")
    folder: Path = parser.parse_args(arguments).folder
    version = read_version()
    with TemporaryDirectory() as built:
        wheel = build("wheel", Path(built))
        if found := find_releases(folder).get(version):
            _compare(version, found.wheel, wheel)
            return
        _keep(folder, version, wheel)
    for name in [*find_releases(folder)][:-MAX_RELEASES]:
        shutil.rmtree(folder / name)
        print(f"Removed {folder / name}.")


def _compare(version: str, kept: Path, wheel: Path) -> None:
    if kept.read_bytes() != wheel.read_bytes():
        raise SystemExit(
            f"{kept.parent} was made of other code: raise the version in "
            f"packages/plinth/pyproject.toml, or, if {version} is not released yet, remove that "
            "folder and repeat this."
        )
    print(f"{kept.parent} is there already, of the same code: there is nothing to do.")


def _keep(folder: Path, version: str, wheel: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(dir=folder, prefix=".") as draft,
        open_folder() as work,
        test_services() as services,
        empty_servers(services, "kept") as servers,
    ):
        kept = keep(Path(draft, version), work, wheel, make_bare_shell(), servers)
        kept.folder.rename(folder / version)
    for file in sorted((folder / version).iterdir()):
        print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
