"""`config/private_names.py` is complete, and an untested version switches a fast path off."""

import ast
import inspect
import logging
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from typing import Any

import pytest
from httpx2 import ASGITransport, AsyncClient

from plinth.config import fast_paths, settings
from plinth.config.private_names import ELSEWHERE, FAST_PATHS, TESTED
from plinth.db.database import Database
from plinth.db.models import Base
from plinth.db.reading.reader import AutocommitExecutor, SQLAlchemyExecutor
from tests.support import application
from tests.support.environment import LIBRARY

PUBLIC = {"_asdict", "_fields", "_make", "_replace", "_exit"}  # of named tuples, and os._exit
LISTED = [
    (module, name)
    for places in (FAST_PATHS, ELSEWHERE)
    for modules in places.values()
    for module, names in modules.items()
    for name in names
]
OURS = {"_exception_handler", "_executor"}  # used in other modules than those that define them
SOURCES = sorted(LIBRARY.rglob("*.py"))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def is_owner_ours(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        module = getattr(node, "module", None) or ""
        if isinstance(node, ast.ImportFrom) and not module.startswith(("plinth", "__")):
            inside = any(map(is_private, module.split(".")))
            yield from (it.name for it in node.names if inside or is_private(it.name))


def accessed(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not is_owner_ours(node.value):
            yield from filter(is_private, [node.attr])


def inherited(tree: ast.AST) -> Iterator[str]:
    """Yield the private members that a class uses and does not define."""
    for owner in ast.walk(tree):
        if not isinstance(owner, ast.ClassDef) or not owner.bases:
            continue
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        made = {it.name for it in owner.body if isinstance(it, kinds)}
        used: set[str] = set()
        for node in ast.walk(owner):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                made.add(node.target.id)
            if isinstance(node, ast.Attribute) and is_owner_ours(node.value):
                (made if isinstance(node.ctx, ast.Store) else used).add(node.attr)
        yield from (name for name in used - made if is_private(name))


def replaced() -> Iterator[str]:
    """Yield the private names of the code that the dispatcher replaces."""
    known = import_module("plinth.http.dispatch.known")
    for names in known.ORIGINALS.values():
        yield from (part for name in names for part in name.split(".") if is_private(part))


def own_names(tree: ast.AST) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {it.name for it in ast.walk(tree) if isinstance(it, kinds)}


@pytest.mark.parametrize("file", SOURCES, ids=lambda it: str(it.relative_to(LIBRARY.parent)))
def test_each_used_private_name_is_listed(file: Any) -> None:
    tree = ast.parse(file.read_text())
    place = str(file.relative_to(LIBRARY.parent))
    listed = {
        part
        for places in (FAST_PATHS, ELSEWHERE)
        for where, modules in places.items()
        if place.startswith(where)
        for names in modules.values()
        for name in names
        for part in name.split(".")
    }
    found = {*imported(tree), *inherited(tree)} | ({*accessed(tree)} - own_names(tree))
    if place.endswith("dispatch/known.py"):
        found |= {*replaced()}
    assert sorted(found - listed - OURS) == [], "list it in private_names.py"


@pytest.mark.parametrize(("module", "name"), LISTED)
def test_listed_name_exists_in_the_installed_version(module: str, name: str) -> None:
    found: Any = import_module(module)
    *owners, last = name.split(".")
    for owner in owners:
        found = getattr(found, owner)
    # Find an attribute of instances in the source of the class.
    assert hasattr(found, last) or last in inspect.getsource(found)


def test_installed_versions_are_tested_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "PLINTH_FAST_PATHS", True)
    assert fast_paths.find_reason_off(tuple(TESTED)) is None, (
        "run `make check test-fastapi` with the new version, then raise it in private_names.py"
    )


@pytest.mark.parametrize("pretended", ["0.164.9", "0.165.1", "0.166.0", "1.0", "0.165.0.post1"])
async def test_untested_version_disables_the_fast_paths(
    pretended: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = version
    monkeypatch.setattr(settings, "PLINTH_FAST_PATHS", True)
    monkeypatch.setattr(
        fast_paths, "version", lambda name: pretended if name == "fastapi" else real(name)
    )
    app = application.create_app()
    (told,) = [it.message for it in caplog.records if it.levelno == logging.WARNING]
    assert told == (
        "fast paths for requests are off, ordinary paths are used:"
        f" fastapi {pretended} is installed, but they are tested with 0.165.0"
    )
    assert not has_dispatch(app)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
        assert (await client.get("/")).status_code == 200


async def test_plinth_fast_paths_off_disables_all_fast_paths(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, database_url: str
) -> None:
    monkeypatch.setattr(settings, "PLINTH_FAST_PATHS", True)
    assert has_dispatch(application.create_app())
    assert caplog.records == []
    monkeypatch.setattr(settings, "PLINTH_FAST_PATHS", False)
    assert not has_dispatch(application.create_app())
    (told,) = [it.message for it in caplog.records]
    assert told == (
        "fast paths for requests and reads from the database are off, ordinary paths are used:"
        " PLINTH_FAST_PATHS=off"
    )
    for is_on, lane in ((False, SQLAlchemyExecutor), (True, AutocommitExecutor)):
        monkeypatch.setattr(settings, "PLINTH_FAST_PATHS", is_on)
        database = Database(database_url, settings, Base.metadata)
        assert type(database._executor) is lane  # noqa: SLF001
        await database.close()


def has_dispatch(app: Any) -> bool:
    return any("Dispatch" in repr(it) for it in app.user_middleware)
