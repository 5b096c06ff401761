"""Access the project's checkout: files, tables and ruff."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Table

from plinth import project
from plinth.cli.application import load_metadata
from plinth.cli.failure import Failure

NEEDED = ("alembic/versions", "app/api/v1", "app/crud", "app/models", "app/schemas", "tests/api")


def find_root() -> Path:
    """
    Raises:
        Failure: there is no checkout, only the application, as in the image.
    """
    root = project.find_root()
    if missing := [folder for folder in NEEDED if not (root / folder).is_dir()]:
        raise Failure(f"{root} has no {missing[0]}: run the command in a checkout of the project.")
    return root


def tables() -> Mapping[str, Table]:
    return dict(load_metadata().tables)


def read(root: Path, path: Path) -> str | None:
    """Return the text of a file; None if it does not exist.

    Raises:
        Failure: it cannot be read.
    """
    try:
        return (root / path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path} cannot be read: {error}") from error


def tidy(root: Path, path: Path, text: str) -> str:
    """Format as `make format` does, and remove unused imports.

    Raises:
        Failure: ruff is missing, or the text is not valid Python.
    """
    text = _ruff(root, path, text, "check", "--fix-only", "--select=F401,I,RUF022,COM819")
    return _ruff(root, path, text, "format")


def check_lint(root: Path, path: Path, text: str) -> None:
    """
    Raises:
        Failure: `make lint` would refuse the text.
    """
    _ruff(root, path, text, "check", "--output-format=concise")


def _ruff(root: Path, path: Path, text: str, *arguments: str) -> str:
    ruff = Path(sys.executable).with_name("ruff")
    if not ruff.exists():
        raise Failure(f"{ruff} is missing, which formats generated files: run `make install`.")
    done = subprocess.run(
        [ruff, *arguments, "--stdin-filename", path, "-"],
        cwd=root,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failure(f"{path} would not pass ruff: {(done.stderr + done.stdout).strip()}")
    return done.stdout
