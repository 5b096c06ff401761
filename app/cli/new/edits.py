"""One line more, or less, in the modules that list things: edits of the text, found by its syntax
tree, so that what people wrote there stays as they wrote it."""

import ast
from collections.abc import Sequence

from app.cli.failure import Failure


def add_import(text: str, module: str, name: str) -> str:
    """Have `from module import name` in it."""
    node = _find_import(text, module)
    if node is None:
        imports = [it for it in ast.parse(text).body if isinstance(it, ast.Import | ast.ImportFrom)]
        if not imports:
            raise Failure("it has no imports to put another one beside")
        return _insert(text, _end(text, imports[-1]), f"\nfrom {module} import {name}")
    if any(alias.name == name for alias in node.names):
        return text
    return _insert(text, _end(text, node.names[-1]), f", {name}")


def remove_import(text: str, module: str, name: str) -> str:
    node = _find_import(text, module)
    if node is None or all(alias.name != name for alias in node.names):
        return text
    if len(node.names) == 1:
        start, end = _start(text, node), _end(text, node)
        return _cut(text, start, end + 1)
    text = _drop(text, node.names, [alias.name for alias in node.names].index(name))
    left = _find_import(text, module)
    assert left
    return _drop_trailing_comma(text, left.names[-1])


def add_to_list(text: str, variable: str, element: str) -> str:
    """Have `element`, as source text, at the end of the list of that name."""
    found = _find_list(text, variable)
    if _unparse(element) in map(ast.unparse, found.elts):
        return text
    if found.elts:
        return _insert(text, _end(text, found.elts[-1]), f", {element}")
    return _insert(text, _start(text, found) + 1, element)


def remove_from_list(text: str, variable: str, element: str) -> str:
    elements = _find_list(text, variable).elts
    sources = [ast.unparse(it) for it in elements]
    wanted = _unparse(element)
    if wanted not in sources:
        return text
    text = _drop(text, elements, sources.index(wanted))
    left = _find_list(text, variable).elts
    return _drop_trailing_comma(text, left[-1]) if left else text


def _unparse(element: str) -> str:
    return ast.unparse(ast.parse(element, mode="eval"))


def _find_import(text: str, module: str) -> ast.ImportFrom | None:
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and node.module == module and not node.level:
            return node
    return None


def _find_list(text: str, variable: str) -> ast.List:
    for node in ast.parse(text).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        named = any(isinstance(it, ast.Name) and it.id == variable for it in targets)
        if named and isinstance(value := getattr(node, "value", None), ast.List):
            return value
    raise Failure(f"it has no list {variable} = [...]")


def _drop_trailing_comma(text: str, last: ast.expr | ast.alias) -> str:
    """A formatter keeps on several lines what ends with a comma."""
    at = _end(text, last)
    return _cut(text, at, at + 1) if text[at] == "," else text


def _drop(text: str, items: Sequence[ast.expr | ast.alias], index: int) -> str:
    """One of several, with the comma that parts it from its neighbour."""
    if index:
        return _cut(text, _end(text, items[index - 1]), _end(text, items[index]))
    if len(items) > 1:
        return _cut(text, _start(text, items[0]), _start(text, items[1]))
    rest = text[_end(text, items[0]) :].lstrip()
    end = len(text) - len(rest) + rest.startswith(",")
    return _cut(text, _start(text, items[0]), end)


def _start(text: str, node: ast.stmt | ast.expr | ast.alias) -> int:
    return _offset(text, node.lineno, node.col_offset)


def _end(text: str, node: ast.stmt | ast.expr | ast.alias) -> int:
    return _offset(text, node.end_lineno or 0, node.end_col_offset or 0)


def _offset(text: str, line: int, column: int) -> int:
    """Of a place in the syntax tree, which counts the bytes of each line."""
    lines = text.split("\n")
    before = sum(len(it) + 1 for it in lines[: line - 1])
    return before + len(lines[line - 1].encode()[:column].decode())


def _insert(text: str, at: int, more: str) -> str:
    return text[:at] + more + text[at:]


def _cut(text: str, start: int, end: int) -> str:
    return text[:start] + text[end:]
