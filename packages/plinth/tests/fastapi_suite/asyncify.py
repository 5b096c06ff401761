"""Turn the `def` endpoints of FastAPI's tests into `async def`, in a copy of them.

The dispatcher leaves plain `def` endpoints to FastAPI, and most of FastAPI's tests use these: as it
is, three quarters of the suite's requests would never take the fast path. A `def` that does not
yield means the same as `async def`, apart from the thread it runs in.
"""

import ast
from pathlib import Path

VERBS = {"get", "put", "post", "delete", "options", "head", "patch", "trace", "api_route"}


def asyncify(folder: Path) -> int:
    """Edit `tests/` and `docs_src/` below `folder` in place; return how many endpoints changed."""
    changed = 0
    for file in [*folder.glob("tests/**/*.py"), *folder.glob("docs_src/**/*.py")]:
        text = file.read_text()
        try:
            tree = ast.parse(text)
        except SyntaxError:
            continue
        lines = text.split("\n")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and _is_endpoint(node):
                lines[node.lineno - 1] = lines[node.lineno - 1].replace("def ", "async def ", 1)
                changed += 1
        file.write_text("\n".join(lines))
    return changed


def _is_endpoint(node: ast.FunctionDef) -> bool:
    return any(map(_declares_route, node.decorator_list)) and not _yields(node)


def _declares_route(decorator: ast.expr) -> bool:
    return (
        isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Attribute)
        and decorator.func.attr in VERBS
        and not (isinstance(decorator.func.value, ast.Name) and decorator.func.value.id == "client")
    )


def _yields(node: ast.FunctionDef) -> bool:
    todo: list[ast.AST] = list(node.body)
    while todo:
        one = todo.pop()
        if isinstance(one, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            todo += ast.iter_child_nodes(one)
    return False
