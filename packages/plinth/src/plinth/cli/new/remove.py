"""`plinth remove`"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Table

from plinth.cli.ask import confirm
from plinth.cli.failure import Failure
from plinth.cli.new import checkout, listed, plan, render
from plinth.cli.new.applied import refuse_applied
from plinth.cli.new.migrations import Making, Migration, body_of_upgrade, find_making, newest
from plinth.cli.new.plan import Change
from plinth.cli.new.words import class_name, singular_of
from plinth.cli.output import out


@dataclass(frozen=True, slots=True)
class Found:
    name: str
    plural: str
    model: str
    files: Mapping[str, Path]


def run(name: str, *, dry_run: bool, yes: bool) -> None:
    """
    Raises:
        Failure: why it cannot go; then nothing was changed.
    """
    root = checkout.find_root()
    found = _find(root, name) or _find(root, singular_of(name) or name)
    if found is None:
        raise Failure(f"NAME: {name} is not a resource that `plinth new` made.")
    _refuse_referred(found, checkout.tables())
    _refuse_used(root, found)
    changes = [*_plan_files(root, found), *_plan_lists(root, found)]
    making = _find_making(root, found)
    is_newest = making.migration.revision == newest()
    changes.append(_plan_drop(root, found, making) if not is_newest else _plan_undo(making))
    if dry_run:
        plan.show(changes)
        return
    if not yes:
        plan.show_names(changes)
        confirm(f"Remove {name}, with what was changed in these files?")
    if is_newest:
        refuse_applied(making.migration, found.plural)
    plan.carry_out(root, changes)
    plan.show_names(changes)
    if not is_newest:
        out.print("Next: plinth db upgrade, by which the table and its rows go.")


def _find(root: Path, name: str) -> Found | None:
    text = checkout.read(root, render.places(name, "")["model"]) or ""
    table = re.search(r'^    __tablename__ = "(\w+)"', text, re.MULTILINE)
    model = class_name(name)
    if table is None or not re.search(rf"^class {model}\(.*\bVersioned\b", text, re.MULTILINE):
        return None
    return Found(name, table[1], model, render.places(name, table[1]))


def _refuse_referred(found: Found, tables: Mapping[str, Table]) -> None:
    for table in tables.values():
        columns = [
            key.parent.name
            for key in table.foreign_keys
            if key.column.table.name == found.plural and key.column.name == "id"
        ]
        if columns and table.name != found.plural:
            raise Failure(
                f"NAME: {table.name}.{columns[0]} refers to {found.plural}; remove {table.name} "
                "first, or that column."
            )


def _refuse_used(root: Path, found: Found) -> None:
    own = {*found.files.values(), *listed.FILES}
    for folder in ("app", "tests", "bench"):
        for file in sorted((root / folder).rglob("*.py")):
            path = file.relative_to(root)
            if path not in own and _uses(file.read_text(encoding="utf-8"), found):
                raise Failure(f"NAME: {path} uses {found.name}; take it out there first.")


def _uses(text: str, found: Found) -> bool:
    wanted = {
        f"app.models.{found.name}",
        f"app.models.{found.model}",
        f"app.schemas.{found.name}",
        f"app.crud.{found.name}",
        f"app.api.v1.{found.plural}",
        f"crud.{found.name}",
    }
    mentioned = found.name in text or found.model in text
    return mentioned and not wanted.isdisjoint(_names(ast.parse(text)))


def _names(tree: ast.Module) -> Iterator[str]:
    """What is imported, with its module, and what is read of `crud`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def _plan_files(root: Path, found: Found) -> Iterator[Change]:
    for path in found.files.values():
        old = checkout.read(root, path)
        if old is not None:
            yield Change(path, None, old)


def _plan_lists(root: Path, found: Found) -> Iterator[Change]:
    for path in listed.FILES:
        old = checkout.read(root, path) or ""
        new = listed.strike(path, old, name=found.name, plural=found.plural, model=found.model)
        if new != old:
            yield Change(path, checkout.tidy(root, path, new), old)


def _find_making(root: Path, found: Found) -> Making:
    """
    Raises:
        Failure: it cannot be told how the table came to be.
    """
    making = find_making(root, found.plural)
    if making is None:
        raise Failure(f"NAME: no migration makes the table {found.plural}.")
    if making.later:
        raise Failure(
            f"NAME: {making.later[0]} changes the table too, and so the way back is for you to "
            "write: drop it by a migration of yours, then take its files out."
        )
    if body_of_upgrade(making.text) is None:
        raise Failure(
            f"NAME: {making.migration.path} makes more than the table {found.plural}: drop it by a "
            "migration of yours, then take its files out."
        )
    return making


def _plan_undo(making: Making) -> Change:
    return Change(making.migration.path, None, making.text)


def _plan_drop(root: Path, found: Found, making: Making) -> Change:
    migration = Migration.begin(f"drop_{found.plural}")
    text = render.render_drop(found.plural, migration, body_of_upgrade(making.text) or "")
    return Change(migration.path, checkout.tidy(root, migration.path, text), None)
