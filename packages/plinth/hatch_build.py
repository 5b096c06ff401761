"""Pack into the wheel what `plinth start` writes: the files of the repository's root.

The list is explicit. If a started project differs, an edit contains the text to replace, and the
build fails if that text does not occur as often as the edit says. The folder
`src/plinth/cli/start/project` has the files that only a project has. A name that ends in
`.jinja` is a template.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PROJECT = "plinth/cli/start/project"
PINS = "plinth/cli/start/pins.txt"
FOLDERS = {"app": "app", "tests": "tests"}
FILES = (
    ".env.example", ".gitignore", ".dockerignore", ".squawk.toml", "alembic.ini", "alembic/env.py",
    "alembic/script.py.mako", "compose.yaml", "Dockerfile", "deploy/build-requirements.txt",
    "deploy/entrypoint.sh", "deploy/healthcheck.py", "deploy/initdb.d/10-roles.sh",
)  # fmt: skip
ROLES = "packages/plinth/src/plinth/cli/db/roles.sql"  # read by the library, and by compose.yaml

# File: the text, what replaces it, how often it is there.
EDITS: dict[str, list[tuple[str, str, int]]] = {
    "app/core/config.py": [
        (
            'it is read from the environment and `.env`."""\n',
            (
                'it is read from the environment and `.env`."""\n\n'
                '    PROJECT_NAME: str = "{{ name }}"\n'
                '    POSTGRES_DB: str = "{{ database }}"\n'
                '    CACHE_PREFIX: str = "{{ name }}"\n'
            ),
            1,
        ),
    ],
    ".env.example": [
        ("#PROJECT_NAME=MyApp", "#PROJECT_NAME={{ name }}", 1),
        ("#POSTGRES_DB=plinth", "#POSTGRES_DB={{ database }}", 1),
        ("@localhost:5432/plinth", "@localhost:5432/{{ database }}", 3),
        ("plinth_test", "{{ database }}_test", 2),
        ("#CACHE_PREFIX=plinth", "#CACHE_PREFIX={{ name }}", 1),
    ],
    ".dockerignore": [
        ("!packages/plinth/pyproject.toml\n", "!wheels\n", 1),
        ("!packages/plinth/hatch_build.py\n", "", 1),
        ("!packages/plinth/README.md\n", "", 1),
        ("!packages/plinth/LICENSE\n", "", 1),
        ("!packages/plinth/src\n", "", 1),
    ],
    "compose.yaml": [
        ("name: plinth\n", "name: {{ name }}\n", 1),
        ("image: plinth\n", "image: {{ name }}\n", 1),
        ("POSTGRES_DB:-plinth}", "POSTGRES_DB:-{{ database }}}", 3),
        ("POSTGRES_DB:-plinth_test}", "POSTGRES_DB:-{{ database }}_test}", 1),
        ('"Name": "plinth"', '"Name": "{{ name }}"', 1),
        (f"./{ROLES}:", "./deploy/roles.sql:", 2),
    ],
    "Dockerfile": [
        ("docker build -t plinth .", "docker build -t {{ name }} .", 1),
        ("8000:8000 plinth\n", "8000:8000 {{ name }}\n", 1),
        ('image.title="plinth"', 'image.title="{{ name }}"', 1),
        (" The library\n# itself is a folder and has no hash; it is installed below.\n", "\n", 1),
        (
            "deploy/build-requirements.txt /opt/requirements/\n",
            (
                "deploy/build-requirements.txt /opt/requirements/\n"
                "COPY wheels /opt/requirements/wheels\n"
            ),
            1,
        ),
        (
            (
                "    && sed '/^-e /d' /opt/requirements/requirements.txt "
                ">/opt/requirements/locked.txt \\\n"
            ),
            "",
            1,
        ),
        ("/opt/requirements/locked.txt", "/opt/requirements/requirements.txt", 1),
        (
            (
                "# Editable: the library lies once, in /app/packages/plinth, exactly as in a "
                "checkout.\n"
            ),
            "",
            1,
        ),
        ("COPY packages/plinth ./packages/plinth\n", "", 1),
        (
            (
                "RUN /opt/build/bin/uv pip install --python /opt/venv/bin/python --no-deps \\\n"
                "        --build-constraints /opt/requirements/build-requirements.txt "
                "--editable packages/plinth \\\n"
                "    && rm -f /opt/venv/.lock \\\n"
            ),
            "RUN rm -f /opt/venv/.lock \\\n",
            1,
        ),
        ("        app alembic packages \\\n", "        app alembic \\\n", 1),
    ],
    "deploy/entrypoint.sh": [("docker run plinth plinth", "docker run {{ name }} plinth", 1)],
    "deploy/initdb.d/10-roles.sh": [(ROLES, "deploy/roles.sql", 1)],
}


class ProjectHook(BuildHookInterface[Any]):
    """Add the files of a new project to the wheel, and to a source distribution."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        library = Path(self.root)
        if version == "editable" or (library / "PKG-INFO").exists():
            return  # a source distribution has them among its sources
        root = library.parents[1]
        if not (root / "alembic.ini").exists():
            raise RuntimeError(
                f"{root} lacks the application that `plinth start` copies: build the wheel in a "
                "checkout of the whole repository, or from the source distribution."
            )
        prefix = "src/" if self.target_name == "sdist" else ""
        self.drafts = TemporaryDirectory()
        for number, (name, path, text) in enumerate(project_files(root)):
            draft = Path(self.drafts.name, str(number))
            draft.write_text(text, encoding="utf-8")
            draft.chmod(path.stat().st_mode)
            build_data["force_include"][str(draft)] = prefix + name

    def finalize(self, *_: Any) -> None:
        if drafts := getattr(self, "drafts", None):
            drafts.cleanup()


def project_files(root: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield the name in the wheel, the file that it is made of, and its text."""
    for name, path in _listed(root):
        text = edited = path.read_text(encoding="utf-8")
        for old, new, count in EDITS.get(str(path.relative_to(root)), ()):
            if edited.count(old) != count:
                raise RuntimeError(
                    f"{path}: {old!r} is there {edited.count(old)} times and not {count}: bring "
                    "EDITS in packages/plinth/hatch_build.py up to date."
                )
            edited = edited.replace(old, new)
        yield f"{PROJECT}/{name}{'.jinja' if edited != text else ''}", path, edited
    locked = root / "requirements-dev.txt"
    yield PINS, locked, _pins(locked.read_text(encoding="utf-8"))
    for page in sorted((root / "docs").rglob("*.md")):
        yield f"plinth/{page.relative_to(root)}", page, page.read_text(encoding="utf-8")


def _listed(root: Path) -> Iterator[tuple[str, Path]]:
    for folder, target in FOLDERS.items():
        for path in sorted((root / folder).rglob("*")):
            if path.suffix == ".py":
                yield f"{target}/{path.relative_to(root / folder)}", path
    for name in FILES:
        yield name, root / name
    yield "deploy/roles.sql", root / ROLES


def _pins(locked: str) -> str:
    """Return the versions that this release was tested with, which a new lock prefers.

    A package that is locked in several versions, one for each Python, has no line.
    """
    found = re.findall(r"^([\w.-]+)(==[^\s;]+)", locked, re.MULTILINE)
    counts = Counter(name for name, _ in found)
    return "".join(f"{name}{version}\n" for name, version in found if counts[name] == 1)
