"""Find the application that this process runs: `PLINTH_APP`, else `[tool.plinth] app` of the
`pyproject.toml` in the working directory, else `app.main:app`."""

import os
import tomllib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

DEFAULT = "app.main:app"


@cache
def find_application() -> str:
    """Return the application as uvicorn takes it, `package.module:name`."""
    return os.environ.get("PLINTH_APP") or _read_pyproject() or DEFAULT


def find_package() -> str:
    """Return the name of the application's package."""
    return find_application().partition(":")[0].partition(".")[0]


def find_root() -> Path:
    """Return the folder that holds the application's package, and `alembic.ini` beside it.

    Where the package cannot be found, that is the working directory.
    """
    spec = find_spec(find_package())
    if spec is None or not spec.submodule_search_locations:
        return Path.cwd()
    return Path(spec.submodule_search_locations[0]).parent


def _read_pyproject() -> str | None:
    try:
        table = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    found: str | None = table.get("tool", {}).get("plinth", {}).get("app")
    return found
