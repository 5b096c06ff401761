"""The location of the application that this process runs.

`PLINTH_APP` names it, else `[tool.plinth] app` in the `pyproject.toml` of the working directory,
else it is `app.main:app`.
"""

import os
import re
import tomllib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

DEFAULT_APPLICATION = "app.main:app"
APPLICATION_PATTERN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@cache
def find_application() -> str:
    """Return the application as uvicorn takes it: `package.module:name`.

    Raises:
        SystemExit: `PLINTH_APP` or `[tool.plinth] app` has another format.
    """
    application = os.environ.get("PLINTH_APP") or _read_pyproject() or DEFAULT_APPLICATION
    if not isinstance(application, str) or not APPLICATION_PATTERN.fullmatch(application):
        raise SystemExit(
            "Plinth cannot start: PLINTH_APP, or app under [tool.plinth] in pyproject.toml, must "
            f"be package.module:name, such as {DEFAULT_APPLICATION}"
        )
    return application


def find_package() -> str:
    """Return the name of the application's package."""
    return find_application().partition(":")[0].partition(".")[0]


def find_root() -> Path:
    """Return the folder that contains the application's package and `alembic.ini`.

    This is the working directory if the package cannot be found.
    """
    spec = find_spec(find_package())
    if spec is None or not spec.submodule_search_locations:
        return Path.cwd()
    return Path(spec.submodule_search_locations[0]).parent


def _read_pyproject() -> object:
    try:
        pyproject = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    table = pyproject.get("tool", {}).get("plinth", {})
    return table.get("app") if isinstance(table, dict) else table
