"""Routes by their paths: one lookup per segment, however many routes there are."""

import re
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

PARAMETER = re.compile(r"\{([a-zA-Z_][a-zA-Z0-9_]*)\}")
ANY_METHOD = "*"
NEVER = 1 << 30  # an index after those of all routes

Leaf = tuple[int, T | None, tuple[str, ...]]


class _Node(Generic[T]):
    __slots__ = ("below", "children", "inner", "leaves")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.inner: _Node[T] | None = None
        """Of the segment that is a parameter."""
        self.below = NEVER
        """The index of the first route that may match anything from here on."""
        self.leaves: dict[str, Leaf[T]] = {}
        """By method: the index, the value, and the names of the parameters on the way."""


class Table(Generic[T]):
    """Find what FastAPI would find: of all routes that match, the one declared first."""

    def __init__(self) -> None:
        self._root = _Node[T]()
        self._static: dict[str, dict[str, T | None]] = {}
        self._count = 0

    def add(self, path: str, methods: Iterable[str] | None, value: T | None) -> None:
        """
        Args:
            path: as it was declared. A segment that is not wholly text or `{name}` makes everything
                from there on unknown.
            methods: None for all.
            value: None for a route that is not to be answered here.
        """
        node, names = self._root, []
        for segment in path.split("/"):
            parameter = PARAMETER.fullmatch(segment)
            if parameter:
                names.append(parameter[1])
                node.inner = node = node.inner or _Node[T]()
            elif "{" in segment:
                node.below = min(node.below, self._count)
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
        """Everything below `path` may belong to what is mounted there."""
        node = self._root
        for segment in path.removesuffix("/").split("/"):
            if "{" in segment:
                break
            node = node.children.setdefault(segment, _Node[T]())
        node.below = min(node.below, self._count)
        self._count += 1

    def freeze(self) -> None:
        """Look up each path without parameters once; a request then costs one look."""
        for path, methods in self._static.items():
            for method in [*methods]:
                found = self._search(path, method)
                if found and found[1]:
                    del methods[method]  # taken by an earlier route, as its parameter
                else:
                    methods[method] = found[0] if found else None

    def find(self, path: str, method: str) -> tuple[T, dict[str, str]] | None:
        """The value of the route and the parameters of the path."""
        static = self._static.get(path)
        if static is not None and method in static:
            value = static[method]
            return None if value is None else (value, {})
        return self._search(path, method)

    def _search(self, path: str, method: str) -> tuple[T, dict[str, str]] | None:
        if path.endswith("\n"):
            return None  # the `$` of Starlette's patterns also matches before it
        node, blocked, given = self._root, self._root.below, []
        segments = path.split("/")
        for segment in segments:
            child = node.children.get(segment)
            if child is not None:
                if node.inner is not None and segment:
                    return self._search_all(segments, method)
                node = child
            elif node.inner is not None and segment:
                given.append(segment)
                node = node.inner
            else:
                return None
            blocked = min(blocked, node.below)
        return _choose([(node, given)], method, blocked)

    def _search_all(self, segments: Sequence[str], method: str) -> tuple[T, dict[str, str]] | None:
        """Where a segment may be text or a parameter: along every way."""
        blocked = NEVER
        ends: list[tuple[_Node[T], list[str]]] = []
        todo: list[tuple[_Node[T], int, list[str]]] = [(self._root, 0, [])]
        while todo:
            node, at, given = todo.pop()
            blocked = min(blocked, node.below)
            if at == len(segments):
                ends.append((node, given))
                continue
            segment = segments[at]
            if node.inner is not None and segment:
                todo.append((node.inner, at + 1, [*given, segment]))
            if (child := node.children.get(segment)) is not None:
                todo.append((child, at + 1, given))
        return _choose(ends, method, blocked)


def _choose(
    ends: Sequence[tuple[_Node[T], list[str]]], method: str, blocked: int
) -> tuple[T, dict[str, str]] | None:
    """Of the routes that match the one declared first, unless it is not to be answered here."""
    best: Leaf[T] = (blocked, None, ())
    values: Sequence[str] = ()
    for node, given in ends:
        for key in (method, ANY_METHOD):
            leaf = node.leaves.get(key)
            if leaf is not None and leaf[0] < best[0]:
                best, values = leaf, given
    _, value, names = best
    return None if value is None else (value, dict(zip(names, values, strict=True)))
