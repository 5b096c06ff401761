"""A backend library on FastAPI, PostgreSQL and Redis; `__all__` of its packages is public."""

from collections.abc import Callable, Mapping
from importlib import import_module


def import_on_use(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """Return a `__getattr__` for a package that imports its public names on first use.

    Args:
        modules: for each name, its module below `plinth`.
    """

    def find(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"plinth.{modules[name]}"), name)

    return find
