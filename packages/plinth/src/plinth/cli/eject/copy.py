"""`plinth eject`"""

import ast
from pathlib import Path

from plinth.cli.eject import ROUTERS, origin_line, read_source
from plinth.cli.failure import Failure
from plinth.cli.new import checkout, plan
from plinth.cli.new.edits import add_import, remove_import
from plinth.cli.new.plan import Change
from plinth.cli.output import out

PACKAGE = "app.api.v1"
FOLDER = Path("app/api/v1")


def run(name: str, *, dry_run: bool) -> None:
    """
    Args:
        name: of the router in app/api/v1/__init__.py.

    Raises:
        Failure: nothing was written.
    """
    if name not in ROUTERS:
        raise Failure(f"There is no router {name}: choose one of {', '.join(ROUTERS)}.")
    root = checkout.find_root()
    copy = _copy(root, name)
    changes = [copy] if copy.old else [copy, _use_copy(root, name)]
    if dry_run:
        plan.show(changes)
        return
    plan.carry_out(root, changes)
    plan.show_names(changes)
    out.print("The router is now part of your application. Next: make check")


def _copy(root: Path, name: str) -> Change:
    path, module = FOLDER / f"{name}.py", ROUTERS[name]
    source, old = read_source(module), checkout.read(root, path)
    assert source is not None, module
    if old is not None and not _only_reexports(old, module):
        raise Failure(f"{path} exists and has other code: rename it first. Nothing was changed.")
    text = f"{origin_line(module, source)}\n{source}"
    return Change(path, checkout.tidy(root, path, text), old)


def _only_reexports(text: str, module: str) -> bool:
    """Return whether a module only imports the library's router."""
    body = [node for node in ast.parse(text).body if not _is_docstring_or_all(node)]
    return bool(body) and all(
        isinstance(node, ast.ImportFrom) and node.module == module for node in body
    )


def _is_docstring_or_all(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


def _use_copy(root: Path, name: str) -> Change:
    """Import the copy instead of the library's router in app/api/v1/__init__.py."""
    path = FOLDER / "__init__.py"
    old = checkout.read(root, path) or ""
    package, _, attribute = ROUTERS[name].rpartition(".")
    new = remove_import(old, package, attribute)
    if new == old:
        raise Failure(
            f"{path} does not import {attribute} from {package}, so it has no such router."
        )
    return Change(path, checkout.tidy(root, path, add_import(new, PACKAGE, name)), old)
