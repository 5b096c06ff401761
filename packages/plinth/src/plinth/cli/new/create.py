"""`plinth new`: generate a resource."""

import re
from collections.abc import Sequence
from pathlib import Path

from plinth.cli.failure import Failure
from plinth.cli.new import checkout, listed, plan, render
from plinth.cli.new.clashes import find_clashes
from plinth.cli.new.design import Tables, design
from plinth.cli.new.migrations import Migration, find_creation
from plinth.cli.new.plan import Change
from plinth.cli.new.resource import Resource
from plinth.cli.output import out


def run(
    name: str,
    fields: Sequence[str],
    *,
    plural: str | None,
    owned: bool,
    public: bool,
    search: str | None,
    unique: Sequence[str],
    secret: str | None = None,
    shown: str | None = None,
    org: bool = False,
    dry_run: bool,
) -> None:
    """
    Raises:
        Failure: nothing was written.
    """
    root = checkout.find_root()
    tables = checkout.tables()
    resource = design(
        name,
        fields,
        tables,
        plural=plural,
        owned=owned,
        public=public,
        search=search,
        unique=unique,
        secret=secret,
        shown=shown,
        org=org,
    )
    _refuse_clashes(root, resource, tables)
    changes = plan_new(root, resource)
    if not changes:
        out.print(f"Nothing to do: {resource.name} exists with these fields.", markup=False)
    elif dry_run:
        plan.show(changes)
    else:
        plan.carry_out(root, changes)
        plan.show_names(changes)
        _explain(name, resource)
        _explain_permissions(resource)
        out.print("Next: plinth db upgrade, then make check")


def plan_new(root: Path, resource: Resource) -> list[Change]:
    """
    Raises:
        Failure: a file exists with different content, or a name clashes in a file.
    """
    creation = find_creation(root, resource.plural)
    migration = creation.migration if creation else Migration.begin(resource.plural)
    changes = []
    for path, text in render.render(resource, migration):
        new, old = checkout.tidy(root, path, text), checkout.read(root, path)
        if old is not None and old != new:
            raise Failure(
                f"{path} exists with different content: choose another name, or remove the file "
                "first. Nothing was changed."
            )
        if old is None:
            _refuse_unclean(root, path, text, new)
        changes.append(Change(path, new, old))
    for path in listed.FILES:
        old = checkout.read(root, path) or ""
        new = listed.enter(
            path,
            old,
            name=resource.name,
            plural=resource.plural,
            model=resource.model,
            public=resource.is_public,
            org=resource.is_org,
        )
        if new != old:
            _refuse_unclean(root, path, new, new := checkout.tidy(root, path, new))
        changes.append(Change(path, new, old))
    return [change for change in changes if change.new != change.old]


def _refuse_unclean(root: Path, path: Path, rendered: str, text: str) -> None:
    is_test = path.parts[0] == "tests"  # parameters of tests shadow fixtures on purpose
    for name in () if is_test else find_clashes(rendered):
        raise Failure(f"{path} would use {name} for two things; choose another name.")
    checkout.check_lint(root, path, text)


def _explain(name: str, resource: Resource) -> None:
    """Print the automatic decisions, and how to change them."""
    if resource.name != name:
        out.print(
            f"{name} is a plural, so the resource is named {resource.name}. To keep the name, use "
            f"--plural {name}.",
            markup=False,
        )
    for field in resource.secrets:
        if field.sounds_secret:
            out.print(
                f"{field.name} is named like a secret, so no response contains it. To include it, "
                f"use --shown {field.name}.",
                markup=False,
            )


def _explain_permissions(resource: Resource) -> None:
    if resource.is_org:
        out.print(
            f"Owners may use the routes. Give other roles {resource.path}:read and "
            f"{resource.path}:write by ORGANIZATION_ROLES in app/core/config.py.",
            markup=False,
        )


def _refuse_clashes(root: Path, resource: Resource, tables: Tables) -> None:
    own = render.places(resource.name, resource.plural)
    if resource.plural in tables and not (root / own["model"]).exists():
        raise Failure(f"NAME: the table {resource.plural} exists; choose another name.")
    for file in sorted((root / "tests").rglob("*.py")):
        path = file.relative_to(root)
        declared = f'__tablename__ = "{resource.plural}"'
        if path != own["tests"] and declared in file.read_text(encoding="utf-8"):
            raise Failure(f"NAME: {path} has a table {resource.plural}; choose another name.")
    url = f"organizations/{{slug}}/{resource.path}" if resource.is_org else resource.path
    prefix = re.compile(rf"""prefix=["']/{re.escape(url)}["'/]""")
    for file in sorted((root / "app/api").rglob("*.py")):
        path = file.relative_to(root)
        if path != own["routes"] and prefix.search(file.read_text(encoding="utf-8")):
            raise Failure(f"NAME: {path} has routes under /{resource.path}; choose another name.")
