"""Find name clashes in a generated file."""

import ast
from collections import Counter
from collections.abc import Iterator


def find_clashes(text: str) -> Iterator[str]:
    """Yield names that two statements of the module bind, that a function's parameter shadows or
    repeats, and that a class assigns and also uses with another meaning."""
    tree = ast.parse(text)
    bound = Counter(_bound(tree.body))
    yield from (name for name, times in bound.items() if times > 1)
    for parameters in _parameters(tree):
        yield from (name for name in parameters if name in bound or parameters.count(name) > 1)
    yield from _hidden_in_classes(tree)


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.For) and isinstance(node.target, ast.Name):
            yield node.target.id


def _parameters(tree: ast.Module) -> Iterator[list[str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield [argument.arg for argument in node.args.args]


def _hidden_in_classes(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        fields = [it for it in node.body if isinstance(it, ast.AnnAssign)]
        assigned = {it.target.id for it in fields if isinstance(it.target, ast.Name)}
        for field in fields:
            used = [field.annotation, *([field.value] if field.value else [])]
            for name in (it for part in used for it in ast.walk(part)):
                if isinstance(name, ast.Name) and name.id in assigned:
                    yield name.id
