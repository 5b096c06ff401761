"""A copy of the library that is built as a synthetic next minor version: with a schema step, a
deprecated name, a renamed setting, a new route and a changed scaffold."""

import re
import shutil
import tomllib
from pathlib import Path

from plinth.db.schema import steps
from tests.support.environment import PACKAGE, ROOT
from tests.support.wheels import build

SOURCES = ("app", "alembic", "deploy", "docs", "tests", "packages/plinth/src")
FILES = (".env.example", ".gitignore", ".dockerignore", ".squawk.toml", "alembic.ini",
         "compose.yaml", "Dockerfile", "requirements-dev.txt", "packages/plinth/pyproject.toml",
         "packages/plinth/hatch_build.py", "packages/plinth/README.md",
         "packages/plinth/LICENSE")  # fmt: skip
LIBRARY = "packages/plinth/src/plinth"
STEP = {
    "up.sql": "ALTER TABLE sessions ADD COLUMN label varchar(50);\n",
    "down.sql": "-- squawk-ignore ban-drop-column\nALTER TABLE sessions DROP COLUMN label;\n",
    "objects.txt": "column sessions.label\n",
}
COLUMN = "    label: Mapped[str | None] = mapped_column(String(50))\n"
MOVED = """\
        otherwise=resolve_moved(
            __name__, {"without_routes": "plinth.http:drop_routes"}, removed_in="3.0"
        ),
"""
# For type checkers, which do not read `otherwise`.
IMPORTED = """\
    from plinth.http.routes import drop_routes

    without_routes = drop_routes
"""
ROUTE = """

@router.get("/version")
@access(PUBLIC, queries=0)
async def get_version() -> dict[str, str]:
    return {"version": settings.VERSION}
"""
# File: a text that it has once, and what replaces it.
EDITS: dict[str, list[tuple[str, str]]] = {
    f"{LIBRARY}/http/routes.py": [("def without_routes(", "def drop_routes(")],
    f"{LIBRARY}/http/__init__.py": [
        ("import import_on_use\n",
         "import import_on_use\nfrom plinth.errors import resolve_moved\n"),
        ("    from plinth.http.routes import without_routes\n", IMPORTED),
        ('"without_routes": ', '"drop_routes": '),
        ('"without_routes",', '"drop_routes",'),
        ("        },\n    )\n", f"        }},\n{MOVED}    )\n"),
    ],
    f"{LIBRARY}/config/deprecated.py": [
        ("RENAMED: dict[str, Renamed] = {}",
         'RENAMED = {"SESSIONS_PER_USER": Renamed("MAX_SESSIONS", "3.0")}'),
    ],
    f"{LIBRARY}/accounts/models.py": [
        ("    user_agent: Mapped[str | None]",
         f"{COLUMN}    user_agent: Mapped[str | None]"),
    ],
    "deploy/healthcheck.py": [('"""', '"""Of the new release. ')],
    "Dockerfile": [("FROM ", "# Of the new release\nFROM ")],
}  # fmt: skip
APPENDED = {f"{LIBRARY}/health/routes.py": ROUTE}


def build_next_release(folder: Path) -> Path:
    """Return the wheel of the synthetic next minor version."""
    root = _copy(folder)
    step = root / LIBRARY / "db" / "schema" / "sql" / f"{steps.newest() + 1:04}_session_label"
    step.mkdir()
    for name, text in STEP.items():
        (step / name).write_text(text)
    for file in (root / LIBRARY).rglob("*.py"):
        text = file.read_text()
        file.write_text(re.sub(r"\bSESSIONS_PER_USER\b", "MAX_SESSIONS", text))
    for name, edits in EDITS.items():
        text = (root / name).read_text()
        for old, new in edits:
            assert old in text, f"{name} lacks {old!r}: bring EDITS of {__file__} up to date"
            text = text.replace(old, new, 1)
        (root / name).write_text(text)
    for name, more in APPENDED.items():
        (root / name).write_text((root / name).read_text() + more)
    return build("wheel", folder, root / "packages" / "plinth")


def read_version() -> str:
    found = tomllib.loads((PACKAGE / "pyproject.toml").read_text())
    return str(found["project"]["version"])


def _copy(folder: Path) -> Path:
    root = folder / "source"
    for name in SOURCES:
        ignored = shutil.ignore_patterns("__pycache__", "dist")
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, root / name)
    pyproject = root / "packages" / "plinth" / "pyproject.toml"
    major, minor, _ = read_version().split(".", 2)
    version = f'version = "{major}.{int(minor) + 1}.0"'
    pyproject.write_text(re.sub(r'(?m)^version = ".*"$', version, pyproject.read_text()))
    return root
