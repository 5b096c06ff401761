"""A backend library on FastAPI, PostgreSQL and Redis; `__all__` of its packages is public."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def import_on_use(
    package: str,
    modules: Mapping[str, str],
    *,
    otherwise: Callable[[str], object] | None = None,
) -> Callable[[str], object]:
    """Return a `__getattr__` for a package that imports its public names on first use.

    Args:
        modules: for each name, its module below `plinth`.
        otherwise: the `__getattr__` for other names, such as that of `errors.resolve_moved`.
    """

    def find(name: str) -> object:
        if name in modules:
            value = getattr(import_module(f"plinth.{modules[name]}"), name)
            # Otherwise each use of the name, such as one in every request, calls this function.
            setattr(sys.modules[package], name, value)
            return value
        if otherwise:
            return otherwise(name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find
