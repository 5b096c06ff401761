"""Add a resource to the modules that list models, crud objects and routers, and remove it."""

from pathlib import Path

from plinth.cli.failure import Failure
from plinth.cli.new.edits import add_import, add_to_list, remove_from_list, remove_import

MODELS = Path("app/models/__init__.py")
CRUD = Path("app/crud/__init__.py")
ROUTES = Path("app/api/v1/__init__.py")
FILES = (MODELS, CRUD, ROUTES)


def enter(
    path: Path, text: str, *, name: str, plural: str, model: str, public: bool, org: bool
) -> str:
    """Return the text of a module with the resource added.

    Raises:
        Failure: an import or list is missing in the module.
    """
    try:
        if path == MODELS:
            text = add_import(text, f"app.models.{name}", model)
            return add_to_list(text, "__all__", f'"{model}"')
        if path == CRUD:
            text = add_import(text, f"app.crud.{name}", name)
            return add_to_list(text, "__all__", f'"{name}"')
        text = add_import(text, "app.api.v1", plural)
        if public:
            text = add_to_list(text, "PUBLIC", f"{plural}.reading")
        return add_to_list(text, "MEMBERS" if org else "PRIVATE", f"{plural}.router")
    except (Failure, SyntaxError) as error:
        raise Failure(f"{path} cannot be extended: {error}.") from error


def strike(path: Path, text: str, *, name: str, plural: str, model: str) -> str:
    """Return the text of a module without the resource.

    Raises:
        Failure: the module cannot be parsed.
    """
    try:
        return _strike(path, text, name, plural, model)
    except (Failure, SyntaxError) as error:
        raise Failure(f"{path} cannot be edited: {error}.") from error


def _strike(path: Path, text: str, name: str, plural: str, model: str) -> str:
    if path == MODELS:
        text = remove_import(text, f"app.models.{name}", model)
        return remove_from_list(text, "__all__", f'"{model}"')
    if path == CRUD:
        text = remove_import(text, f"app.crud.{name}", name)
        return remove_from_list(text, "__all__", f'"{name}"')
    text = remove_import(text, "app.api.v1", plural)
    for variable in ("PUBLIC", "PRIVATE", *(["MEMBERS"] if "MEMBERS" in text else [])):
        for router in ("reading", "router"):
            text = remove_from_list(text, variable, f"{plural}.{router}")
    return text
