"""`plinth remove`: remove a generated resource."""

import ast
import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Table

from plinth.cli.connecting import connected
from plinth.cli.failure import Failure
from plinth.cli.new import checkout, listed, plan, render
from plinth.cli.new.migrations import Creation, Migration, body_of_upgrade, find_creation, newest
from plinth.cli.new.plan import Change
from plinth.cli.new.words import class_name, singular_of
from plinth.cli.output import confirm, out
from plinth.config import settings
from plinth.db import revisions
from plinth.devservices import EmbeddedError
from plinth.devservices.service_urls import ServiceUrls, running_services
from plinth.errors import PlinthError

DATABASE_FILES = "postgres"


@dataclass(frozen=True, slots=True)
class Found:
    name: str
    plural: str
    model: str
    files: Mapping[str, Path]


def run(name: str, *, dry_run: bool, yes: bool) -> None:
    """
    Raises:
        Failure: nothing was changed.
    """
    root = checkout.find_root()
    found = _find(root, name) or _find(root, singular_of(name) or name)
    if found is None:
        raise Failure(f"NAME: {name} is not a resource that `plinth new` generated.")
    _refuse_referred(found, checkout.tables())
    _refuse_used(root, found)
    changes = [*_plan_files(root, found), *_plan_lists(root, found)]
    creation = _find_creation(root, found)
    is_newest = creation.migration.revision == newest()
    changes.append(_plan_drop(root, found, creation) if not is_newest else _plan_undo(creation))
    if dry_run:
        plan.show(changes)
        return
    if not yes:
        plan.show_names(changes)
        confirm(f"Remove {name}, including your changes in these files?")
    if is_newest:
        refuse_applied(creation.migration, found.plural)
    plan.carry_out(root, changes)
    plan.show_names(changes)
    if not is_newest:
        out.print("Next: plinth db upgrade, which drops the table and its rows")


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
                raise Failure(f"NAME: {path} uses {found.name}; remove that first.")


def _uses(text: str, found: Found) -> bool:
    modules = {
        f"app.models.{found.name}",
        f"app.models.{found.model}",
        f"app.schemas.{found.name}",
        f"app.crud.{found.name}",
        f"app.api.v1.{found.plural}",
        f"crud.{found.name}",
    }
    mentioned = found.name in text or found.model in text
    return mentioned and not modules.isdisjoint(_names(ast.parse(text)))


def _names(tree: ast.Module) -> Iterator[str]:
    """Yield imported names with their modules, and attributes of names, such as `crud.x`."""
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


def _find_creation(root: Path, found: Found) -> Creation:
    """
    Raises:
        Failure: the migration that creates the table cannot be reversed automatically.
    """
    creation = find_creation(root, found.plural)
    if creation is None:
        raise Failure(f"NAME: no migration creates the table {found.plural}.")
    if creation.later:
        raise Failure(
            f"NAME: {creation.later[0]} changes the table too, so the downgrade cannot be "
            "generated: write a migration that drops the table, then delete the resource's files."
        )
    if body_of_upgrade(creation.text) is None:
        raise Failure(
            f"NAME: {creation.migration.path} creates more than the table {found.plural}: write a "
            "migration that drops the table, then delete the resource's files."
        )
    return creation


def _plan_undo(creation: Creation) -> Change:
    return Change(creation.migration.path, None, creation.text)


def _plan_drop(root: Path, found: Found, creation: Creation) -> Change:
    migration = Migration.begin(f"drop_{found.plural}")
    text = render.render_drop(found.plural, migration, body_of_upgrade(creation.text) or "")
    return Change(migration.path, checkout.tidy(root, migration.path, text), None)


def refuse_applied(migration: Migration, table: str) -> None:
    """
    Raises:
        Failure: the database is at this migration, so it could not be undone without its file.
    """
    if _find_revision() == migration.revision:
        raise Failure(
            f"The database is at {migration.path.name}, which would be deleted: undo it first by "
            f"plinth db downgrade, which deletes the rows of {table}."
        )


def _find_revision() -> str | None:
    """Return the database's revision; None if it is unreachable or was never created."""
    if settings.DATABASE_URL is None and not (settings.DATA_DIR / DATABASE_FILES).exists():
        return None
    try:
        with running_services(settings) as services:
            return asyncio.run(_read_revision(services))
    except (PlinthError, EmbeddedError, OSError):
        return None


async def _read_revision(services: ServiceUrls) -> str | None:
    async with connected(services) as database:
        return await revisions.current(database)
