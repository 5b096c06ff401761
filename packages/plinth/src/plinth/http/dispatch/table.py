"""Route lookup by path, at a cost of one dictionary lookup per segment."""

import re
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

PARAMETER = re.compile(r"\{([a-zA-Z_][a-zA-Z0-9_]*)\}")
ANY_METHOD = "*"
NO_INDEX = 1 << 30  # greater than the index of every route

Leaf = tuple[int, T | None, tuple[str, ...]]


class _Node(Generic[T]):
    """
    Attributes:
        children: nodes of literal segments.
        parameter: node of a segment that is a parameter.
        catch_all: index of the first route that may match any path from here on.
        leaves: by method, the index, the value and the parameter names of the path.
    """

    __slots__ = ("catch_all", "children", "leaves", "parameter")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.parameter: _Node[T] | None = None
        self.catch_all = NO_INDEX
        self.leaves: dict[str, Leaf[T]] = {}


class Table(Generic[T]):
    """Find the route that FastAPI would find: the first declared one that matches."""

    def __init__(self) -> None:
        self._root = _Node[T]()
        self._static: dict[str, dict[str, T | None]] = {}
        self._count = 0

    def add(self, path: str, methods: Iterable[str] | None, value: T | None) -> None:
        """
        Args:
            path: as declared. A segment that is neither literal nor `{name}` may match anything.
            methods: None for all methods.
            value: None for a route that the table does not support.
        """
        node, names = self._root, []
        for segment in path.split("/"):
            match = PARAMETER.fullmatch(segment)
            if match:
                names.append(match[1])
                node.parameter = node = node.parameter or _Node[T]()
            elif "{" in segment:
                node.catch_all = min(node.catch_all, self._count)
                break
            else:
                node = node.children.setdefault(segment, _Node[T]())
        else:
            for method in methods or (ANY_METHOD,):
                node.leaves.setdefault(method, (self._count, value, tuple(names)))
            if not names:
                self._static.setdefault(path, {}).update(dict.fromkeys(methods or ()))
        self._count += 1

    def add_mount(self, path: str) -> None:
        """Leave all paths below `path` to the mounted application."""
        node = self._root
        for segment in path.removesuffix("/").split("/"):
            if "{" in segment:
                break
            node = node.children.setdefault(segment, _Node[T]())
        node.catch_all = min(node.catch_all, self._count)
        self._count += 1

    def freeze(self) -> None:
        """Resolve each path without parameters, so that a request needs only one lookup."""
        for path, methods in self._static.items():
            for method in [*methods]:
                match = self._search(path, method)
                if match and match[1]:
                    del methods[method]  # a parameter of an earlier route matches
                else:
                    methods[method] = match[0] if match else None

    def find(self, path: str, method: str) -> tuple[T, dict[str, str]] | None:
        """Return the value of the route and its path parameters."""
        static = self._static.get(path)
        if static is not None and method in static:
            value = static[method]
            return None if value is None else (value, {})
        return self._search(path, method)

    def _search(self, path: str, method: str) -> tuple[T, dict[str, str]] | None:
        if path.endswith("\n"):
            return None  # `$` in Starlette's patterns also matches before a final newline
        node, catch_all, values = self._root, self._root.catch_all, []
        segments = path.split("/")
        for segment in segments:
            child = node.children.get(segment)
            if child is not None:
                if node.parameter is not None and segment:
                    return self._search_all(segments, method)
                node = child
            elif node.parameter is not None and segment:
                values.append(segment)
                node = node.parameter
            else:
                return None
            catch_all = min(catch_all, node.catch_all)
        return _choose([(node, values)], method, catch_all)

    def _search_all(self, segments: Sequence[str], method: str) -> tuple[T, dict[str, str]] | None:
        """Search all branches, for a segment that matches both a literal and a parameter."""
        catch_all = NO_INDEX
        ends: list[tuple[_Node[T], list[str]]] = []
        todo: list[tuple[_Node[T], int, list[str]]] = [(self._root, 0, [])]
        while todo:
            node, depth, values = todo.pop()
            catch_all = min(catch_all, node.catch_all)
            if depth == len(segments):
                ends.append((node, values))
                continue
            segment = segments[depth]
            if node.parameter is not None and segment:
                todo.append((node.parameter, depth + 1, [*values, segment]))
            if (child := node.children.get(segment)) is not None:
                todo.append((child, depth + 1, values))
        return _choose(ends, method, catch_all)


def _choose(
    ends: Sequence[tuple[_Node[T], list[str]]], method: str, catch_all: int
) -> tuple[T, dict[str, str]] | None:
    """Return the first declared route that matches; None if the table does not support it."""
    first: Leaf[T] = (catch_all, None, ())
    parameters: Sequence[str] = ()
    for node, values in ends:
        for key in (method, ANY_METHOD):
            leaf = node.leaves.get(key)
            if leaf is not None and leaf[0] < first[0]:
                first, parameters = leaf, values
    _, value, names = first
    return None if value is None else (value, dict(zip(names, parameters, strict=True)))
