"""Add and remove imports and list elements in a module.

The syntax tree locates the edits; the rest of the text stays unchanged.
"""

import ast
import re
from collections.abc import Sequence

from plinth.cli.failure import Failure

COMMA = re.compile(r"\s*,")
LINE_LENGTH = 100  # of the formatter, set in pyproject.toml


def add_import(text: str, module: str, name: str) -> str:
    """Add `from module import name`, unless it exists."""
    node = _find_import(text, module, name)
    if node is None:
        imports = [it for it in ast.parse(text).body if isinstance(it, ast.Import | ast.ImportFrom)]
        if not imports:
            raise Failure("it has no imports after which to add one")
        return _insert(text, _end(text, imports[-1]), f"\nfrom {module} import {name}")
    if any(alias.name == name for alias in node.names):
        return text
    return _append(text, node.names, name, before=_end(text, node) - 1)


def remove_import(text: str, module: str, name: str) -> str:
    node = _find_import(text, module, name)
    if node is None or all(alias.name != name for alias in node.names):
        return text
    if len(node.names) == 1:
        start, end = _start(text, node), _end(text, node)
        return _cut(text, start, end + 1)
    return _drop(text, node, node.names, [alias.name for alias in node.names].index(name))


def add_to_list(text: str, variable: str, element: str) -> str:
    """Append an element, given as source code, to the list of that name, unless it is there."""
    _, elements = _find_list(text, variable)
    if _normalize(element) in map(ast.unparse, elements.elts):
        return text
    if elements.elts:
        return _append(text, elements.elts, element, before=_end(text, elements) - 1)
    return _insert(text, _start(text, elements) + 1, element)


def remove_from_list(text: str, variable: str, element: str) -> str:
    statement, elements = _find_list(text, variable)
    sources = [ast.unparse(it) for it in elements.elts]
    source = _normalize(element)
    if source not in sources:
        return text
    return _drop(text, statement, elements.elts, sources.index(source))


def _normalize(element: str) -> str:
    return ast.unparse(ast.parse(element, mode="eval"))


def _find_import(text: str, module: str, name: str) -> ast.ImportFrom | None:
    """Return the import of the name from the module, or else another import from the module."""
    fallback = None
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and node.module == module and not node.level:
            if any(alias.name == name for alias in node.names):
                return node
            fallback = fallback or node
    return fallback


def _find_list(text: str, variable: str) -> tuple[ast.stmt, ast.List]:
    """Return the assignment and the list."""
    for node in ast.parse(text).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        named = any(isinstance(it, ast.Name) and it.id == variable for it in targets)
        if named and isinstance(value := getattr(node, "value", None), ast.List):
            return node, value
    raise Failure(f"it has no list {variable} = [...]")


def _append(text: str, items: Sequence[ast.expr | ast.alias], more: str, *, before: int) -> str:
    """Add an item after the others; `before` is the offset of the closing bracket, if any."""
    end = _end(text, items[-1])
    if COMMA.match(text, end):  # a comment may follow the comma
        return _insert(text, before, f"{more},\n")
    return _insert(text, end, f", {more}")


def _drop(text: str, statement: ast.stmt, items: Sequence[ast.expr | ast.alias], index: int) -> str:
    """Remove one item, its comma and the comment on its line.

    A formatter keeps a statement on several lines if a comma follows the last item. That comma is
    removed if the statement was too long for one line, so that the formatter can join the lines. A
    shorter statement is on several lines on purpose.
    """
    start, end = _start(text, items[index]), _end(text, items[index])
    comma = COMMA.match(text, end)
    cuts = [_whole_line(text, start, comma.end() if comma else end)]
    left = [*items[:index], *items[index + 1 :]]
    if left and (not comma or len(ast.unparse(statement)) > LINE_LENGTH):
        last = COMMA.match(text, _end(text, left[-1]))
        cuts += [last.span()] if last else []
    for cut in sorted(cuts, reverse=True):
        text = _cut(text, *cut)
    return text


def _whole_line(text: str, start: int, end: int) -> tuple[int, int]:
    """Extend a range to whole lines if there is only a comment besides it."""
    begin = text.rfind("\n", 0, start) + 1
    rest, newline, _ = text[end:].partition("\n")
    is_alone = not text[begin:start].strip() and not rest.partition("#")[0].strip()
    return (begin, end + len(rest + newline)) if is_alone else (start, end)


def _start(text: str, node: ast.stmt | ast.expr | ast.alias) -> int:
    return _offset(text, node.lineno, node.col_offset)


def _end(text: str, node: ast.stmt | ast.expr | ast.alias) -> int:
    return _offset(text, node.end_lineno or 0, node.end_col_offset or 0)


def _offset(text: str, line: int, column: int) -> int:
    """Return the offset of a position in the syntax tree, whose columns count bytes."""
    lines = text.split("\n")
    before = sum(len(it) + 1 for it in lines[: line - 1])
    return before + len(lines[line - 1].encode()[:column].decode())


def _insert(text: str, at: int, more: str) -> str:
    return text[:at] + more + text[at:]


def _cut(text: str, start: int, end: int) -> str:
    return text[:start] + text[end:]
