"""Render the files of a resource from `templates/`."""

from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from plinth.cli.new.columns.defaults import literal
from plinth.cli.new.migrations import Migration
from plinth.cli.new.resource import Resource

MAX_PART_LENGTH = 70  # characters


def places(name: str, plural: str) -> dict[str, Path]:
    """Return the paths of the files by the name of their template."""
    return {
        "model": Path("app/models", f"{name}.py"),
        "schemas": Path("app/schemas", f"{name}.py"),
        "crud": Path("app/crud", f"{name}.py"),
        "routes": Path("app/api/v1", f"{plural}.py"),
        "tests": Path("tests/api", f"test_{plural}.py"),
    }


def render(resource: Resource, migration: Migration) -> Iterator[tuple[Path, str]]:
    """Yield the path and the unformatted text of each file."""
    environment = _environment()
    context = {"it": resource, "migration": migration}
    files = places(resource.name, resource.plural) | {"migration": migration.path}
    for template, path in files.items():
        yield path, environment.get_template(f"{template}.py.jinja").render(context)


def render_drop(table: str, migration: Migration, remake: str) -> str:
    """Return the text of a migration that drops a table.

    Args:
        remake: the statements that create it again, indented as in a function.
    """
    template = _environment().get_template("drop.py.jinja")
    return template.render(table=table, migration=migration, remake=remake)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("plinth.cli.new"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - the output is Python and not HTML
        keep_trailing_newline=True,
    )
    environment.filters["quoted"] = '"{}"'.format
    environment.filters["literal"] = literal
    environment.filters["split_expression"] = split_expression
    return environment


def split_expression(sql: str) -> list[str]:
    """Split an SQL concatenation into parts that each fit on a line of Python."""
    first, *others = sql.split(" || ")
    parts = [first]
    for other in others:
        if len(parts[-1]) + len(other) < MAX_PART_LENGTH:
            parts[-1] += f" || {other}"
        else:
            parts.append(f" || {other}")
    return parts
