"""Routes by their paths: one look a segment, however many routes there are."""

import re
from typing import Generic, TypeVar

T = TypeVar("T")

PARAMETER = re.compile(r"\{([a-zA-Z_][a-zA-Z0-9_]*)\}")


class _Node(Generic[T]):
    __slots__ = ("children", "inner", "is_foreign", "leaves")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.inner: _Node[T] | None = None
        """Of whatever stands in the place of a parameter."""
        self.is_foreign = False
        self.leaves: dict[str, tuple[T | None, tuple[str, ...]]] = {}
        """By method, with the names of the parameters on the way."""


class Table(Generic[T]):
    """What stands at a path for a method. A segment as it is written goes before a parameter,
    wherever it was added; of two alike the first holds."""

    def __init__(self) -> None:
        self._whole: dict[str, dict[str, T | None]] = {}
        self._root = _Node[T]()

    def add(self, path: str, method: str, value: T | None) -> None:
        """
        Args:
            path: as FastAPI has it. A parameter of another form than `{name}`, alone between
                slashes, makes all that begins so foreign.
            value: None where something is that is not to be found here.
        """
        if "{" not in path:
            self._whole.setdefault(path, {}).setdefault(method, value)
        node, names = self._root, []
        for segment in path.split("/"):
            if "{" not in segment:
                node = node.children.setdefault(segment, _Node[T]())
                continue
            parameter = PARAMETER.fullmatch(segment)
            if parameter is None:
                node.is_foreign = True
                return
            names.append(parameter[1])
            node.inner = node = node.inner or _Node[T]()
        node.leaves.setdefault(method, (value, tuple(names)))

    def leave_out(self, path: str) -> None:
        """Nothing that begins so is to be found here: it is mounted, and its own affair."""
        node = self._root
        for segment in path.split("/"):
            node = node.children.setdefault(segment, _Node[T]())
        node.is_foreign = True

    def find(self, path: str, method: str) -> tuple[T, dict[str, str]] | None:
        """The value and the path's parameters."""
        whole = self._whole.get(path)
        if whole is not None:
            value = whole.get(method)
            return None if value is None else (value, {})
        given: list[str] = []
        node = _walk(self._root, path.split("/"), 0, given)
        if node is None or method not in node.leaves:
            return None
        value, names = node.leaves[method]
        return None if value is None else (value, dict(zip(names, given, strict=True)))


def _walk(node: _Node[T], segments: list[str], at: int, given: list[str]) -> _Node[T] | None:
    if node.is_foreign:
        return node
    if at == len(segments):
        return node if node.leaves else None
    segment = segments[at]
    if segment in node.children:
        found = _walk(node.children[segment], segments, at + 1, given)
        if found:
            return found
    if node.inner is None or not segment:
        return None
    given.append(segment)
    found = _walk(node.inner, segments, at + 1, given)
    if found is None:
        given.pop()
    return found
