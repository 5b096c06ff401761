"""Find the application that this process runs: `PLINTH_APP`, else `[tool.plinth] app` of the
`pyproject.toml` in the working directory, else `app.main:app`."""

import os
import re
import tomllib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

DEFAULT = "app.main:app"
FORM = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@cache
def find_application() -> str:
    """Return the application as uvicorn takes it, `package.module:name`.

    Raises:
        SystemExit: PLINTH_APP or `[tool.plinth] app` is not of that form.
    """
    found = os.environ.get("PLINTH_APP") or _read_pyproject() or DEFAULT
    if not isinstance(found, str) or not FORM.fullmatch(found):
        raise SystemExit(
            "Plinth cannot start: PLINTH_APP, or app under [tool.plinth] in pyproject.toml, must "
            f"be package.module:name, such as {DEFAULT}"
        )
    return found


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


def _read_pyproject() -> object:
    try:
        table = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    ours = table.get("tool", {}).get("plinth", {})
    return ours.get("app") if isinstance(ours, dict) else ours
