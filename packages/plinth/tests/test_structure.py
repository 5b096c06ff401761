"""The limits of the library's structure and of the application's size."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.environment import ROOT

LIBRARY = ROOT / "packages" / "plinth" / "src" / "plinth"
APPLICATION = ROOT / "app"
MAX_FOLDERS, MAX_TOP_MODULES, MAX_MODULES, MAX_LINES = 20, 5, 15, 300
MAX_APPLICATION_FILES, MAX_APPLICATION_LINES = 26, 600
MAX_EXAMPLE_LINES = 500


def find_folders(root: Path) -> list[Path]:
    return [it.parent for it in root.rglob("__init__.py") if it.parent != root]


def find_modules(folder: Path) -> list[Path]:
    return [it for it in folder.glob("*.py") if it.name != "__init__.py"]


def count_lines(files: list[Path]) -> dict[Path, int]:
    return {file: len(file.read_text().splitlines()) for file in files}


def test_top_level_has_few_folders_and_modules() -> None:
    top = [folder for folder in find_folders(LIBRARY) if folder.parent == LIBRARY]
    assert len(top) <= MAX_FOLDERS
    assert len(find_modules(LIBRARY)) <= MAX_TOP_MODULES


@pytest.mark.parametrize(
    "folder", find_folders(LIBRARY), ids=lambda it: str(it.relative_to(LIBRARY))
)
def test_a_folder_has_few_modules(folder: Path) -> None:
    assert len(find_modules(folder)) <= MAX_MODULES, "divide it into packages by subject"


def test_a_file_has_few_lines() -> None:
    lines = count_lines(list(LIBRARY.rglob("*.py")))
    assert {file: count for file, count in lines.items() if count > MAX_LINES} == {}


def test_application_is_short() -> None:
    lines = count_lines(list(APPLICATION.rglob("*.py")))
    assert len(lines) <= MAX_APPLICATION_FILES
    assert sum(lines.values()) <= MAX_APPLICATION_LINES


def test_the_realworld_example_is_short() -> None:
    lines = count_lines(list((ROOT / "examples" / "conduit" / "app").rglob("*.py")))
    assert 0 < sum(lines.values()) <= MAX_EXAMPLE_LINES


PUBLIC_MODULES = {
    "plinth.accounts",
    "plinth.accounts.deps",
    "plinth.accounts.models",
    "plinth.accounts.queries",
    "plinth.accounts.routes",
    "plinth.accounts.schemas",
    "plinth.application",
    "plinth.cache",
    "plinth.config",
    "plinth.db",
    "plinth.db.schema.environment",
    "plinth.errors",
    "plinth.health",
    "plinth.http",
    "plinth.organizations",
    "plinth.organizations.deps",
    "plinth.organizations.models",
    "plinth.organizations.routes",
    "plinth.resources",
    "plinth.resources.fields",
    "plinth.security",
    "plinth.testing",
}
"""The modules that an application may import, and those below them that `plinth start` or `plinth
new` write an import of. docs/how-to/upgrades.md promises that their names stay
within a major version."""
PUBLIC_BELOW = {
    "plinth.accounts.schemas",
    "plinth.health",
    "plinth.security",
    "plinth.testing",
}


def is_public(module: str) -> bool:
    return module in PUBLIC_MODULES or module.rpartition(".")[0] in PUBLIC_BELOW


def find_imports(source: str) -> set[str]:
    """Return the modules of the library that a module or a template imports from."""
    imported = re.findall(r"^from (plinth\.[\w.]+) import", source, re.MULTILINE)
    return set(imported)


APPLICATION_FILES = [
    *APPLICATION.rglob("*.py"),
    ROOT / "alembic" / "env.py",
    *(ROOT / "examples").glob("*/app/**/*.py"),
    *(LIBRARY / "cli" / "new" / "templates").glob("*.jinja"),
    *(LIBRARY / "cli" / "start" / "project").rglob("*.jinja"),
]


@pytest.mark.parametrize(
    "file", APPLICATION_FILES, ids=lambda it: str(it.relative_to(ROOT)).replace("/", "_")
)
def test_application_imports_only_public_modules(file: Path) -> None:
    private = {it for it in find_imports(file.read_text()) if not is_public(it)}
    assert private == set(), "export the name from a public package of the library"


@pytest.mark.parametrize("package", ["plinth.accounts", "plinth.http"])
def test_public_name_is_imported_lazily_once(package: str) -> None:
    """A request would pay for each use of the name: 20 us for an import that finds the module."""
    module = import_module(package)
    for name in module.__all__:
        value = getattr(module, name)
        assert vars(module)[name] is value


def test_one_statement_starts_a_session() -> None:
    """Each way to sign in ends in `complete_sign_in`, so that none forgets the second factor."""
    starts = re.compile(r"insert\(\s*(cast\(\"Table\", )?Session\b|[^.\w]Session\((?!Base\))")
    files = [*LIBRARY.rglob("*.py"), *APPLICATION.rglob("*.py")]
    found = [file for file in files if starts.search(file.read_text())]
    assert found == [LIBRARY / "accounts" / "queries" / "sign_in.py"], "call `complete_sign_in`"


def test_each_sign_in_is_delivered_in_the_requested_form() -> None:
    """A route that returns the tokens itself shows them to the scripts of a page with cookies."""
    reads = re.compile(r"\bsigned_in\.tokens\b|\)\.tokens\b")
    files = [*(LIBRARY / "accounts").rglob("*.py"), *APPLICATION.rglob("*.py")]
    found = [file for file in files if reads.search(file.read_text())]
    assert found == [LIBRARY / "accounts" / "deps.py"], "return `delivery.deliver(signed_in)`"
