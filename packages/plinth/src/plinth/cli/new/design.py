"""Validate the arguments of `plinth new`, and turn them into a resource."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Table, UniqueConstraint

from plinth.cli.failure import Failure
from plinth.cli.new.columns.fields import Field, parse_field
from plinth.cli.new.columns.kinds import MAX_INDEXED_LENGTH
from plinth.cli.new.resource import Resource, Target
from plinth.cli.new.words import (
    check_form,
    check_resource_name,
    check_table_name,
    pluralize,
    singular_of,
)
from plinth.db.schema.isolation import is_organization_owned

MIN_UNIQUE_VALUES = 100

Tables = Mapping[str, Table]


def design(
    name: str,
    specs: Sequence[str],
    tables: Tables,
    *,
    plural: str | None,
    owned: bool,
    public: bool,
    search: str | None,
    unique: Sequence[str],
    secret: str | None = None,
    shown: str | None = None,
    org: bool = False,
) -> Resource:
    """
    Args:
        name: singular; a plural is converted, unless `plural` is passed as well.
        tables: the existing tables by name.

    Raises:
        Failure: an argument is invalid; the message names it.
    """
    if org and (owned or public):
        raise Failure(
            f"--org and {'--owned' if owned else '--public'} exclude each other: only the members "
            "of an organization see its rows."
        )
    if plural is None:
        name, plural = name_and_plural(name)
    check_resource_name(name)
    check_table_name(plural, f"--plural {plural}")
    if not specs:
        raise Failure(f"Give at least one field, such as: plinth new {name} title:str:200")
    fields = _mark_secrets([parse_field(spec) for spec in specs], secret, shown)
    _refuse_duplicates([field.column for field in fields], "a field")
    by_name = _by_name(fields)
    resource = Resource(
        name=name,
        plural=plural,
        fields=fields,
        targets=[
            _target(field, tables, plural, owned=owned, public=public, org=org)
            for field in fields
            if field.table
        ],
        is_owned=owned,
        is_public=public,
        search=_searched(by_name, search),
        unique=_unique_rules(by_name, unique, plural),
        is_org=org,
    )
    if all(field.table == plural for field in fields):
        raise Failure(
            f"Give {name} a field that does not refer to {plural}, such as: plinth new {name} "
            f"title:str:200 {' '.join(specs)}"
        )
    resource.check()
    return resource


def name_and_plural(name: str) -> tuple[str, str]:
    """
    Raises:
        Failure: the name is invalid.
    """
    check_form(name, "NAME")
    if singular := singular_of(name):
        return singular, name
    return name, pluralize(name)


def _by_name(fields: Sequence[Field]) -> Mapping[str, Field]:
    return {field.name: field for field in fields} | {field.column: field for field in fields}


def _mark_secrets(
    fields: Sequence[Field], secret: str | None, shown: str | None
) -> Sequence[Field]:
    """Mark the fields in `--secret`, and those named like a secret that are not in `--shown`."""
    by_name = _by_name(fields)
    hidden = _select(by_name, secret, "--secret") if secret is not None else []
    readable = _select(by_name, shown, "--shown") if shown is not None else []
    for field in hidden:
        if field in readable:
            raise Failure(f"--secret {secret}: {field.name} is in --shown as well.")
        if not field.kind.may_be_secret:
            raise Failure(f"--secret {secret}: {field.name} is not a str, text, uuid or json.")
    marked = [
        replace(field, is_secret=field in hidden or field.sounds_secret)
        if field not in readable
        else field
        for field in fields
    ]
    for field in marked:
        if field.is_secret and field.default is not None:
            raise Failure(
                f"{field.name}: a secret cannot have a default; leave out the default, or add "
                f"--shown {field.name} if responses may contain it."
            )
    return marked


def _refuse_duplicates(names: Sequence[str], kind: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise Failure(f"{name}: {kind} cannot be there twice.")


def _target(
    field: Field, tables: Tables, plural: str, *, owned: bool, public: bool, org: bool
) -> Target:
    spec = f"{field.name}:ref:{field.table}"
    owner = "organization_id" if org else "owner_id"
    if field.table == plural and not field.is_optional:
        raise Failure(f"{spec}: the first of the {plural} cannot refer to another; write {spec}?")
    if field.table == plural:
        is_private = org or (owned and not public)
        return Target(field, plural, is_private, is_itself=True, owner_column=owner)
    table = tables.get(field.table or "")
    if table is None or not _can_be_referred_to(table):
        names = sorted(name for name, table in tables.items() if _can_be_referred_to(table))
        raise Failure(f"{spec}: no such table; choose one of {', '.join(names)}.")
    private_owner = _find_private_owner(table)
    if private_owner == "owner_id" and not owned:
        raise Failure(
            f"{spec}: {table.name} belong to their owners, and a table without owners would show "
            "them to all users: add --owned."
        )
    if private_owner == "organization_id" and not org:
        raise Failure(
            f"{spec}: {table.name} belong to organizations, and only their rows may refer to them: "
            "add --org."
        )
    is_private = private_owner is not None
    is_theirs = table.name == "users" or (not is_private and "owner_id" in table.columns)
    return Target(field, table.name, is_private, goes_with_users=is_theirs, owner_column=owner)


def _find_private_owner(table: Table) -> str | None:
    """Return the column with the owner of a row, if only rows of the same owner may refer to it."""
    if is_organization_owned(table):
        return "organization_id"
    for constraint in table.constraints:
        columns = (
            {column.name for column in constraint.columns}
            if isinstance(constraint, UniqueConstraint)
            else set()
        )
        if columns == {"id", "owner_id"}:
            return "owner_id"
    return None


def _can_be_referred_to(table: Table) -> bool:
    """Return whether the table is users or a resource; the library's other tables are internal."""
    return table.name == "users" or "version" in table.columns


def _searched(by_name: Mapping[str, Field], names: str | None) -> list[Field]:
    fields = _select(by_name, names, "--search") if names is not None else []
    for field in fields:
        if not field.kind.is_text:
            raise Failure(f"--search {names}: {field.name} is not a str or text.")
        if field.size == "1":
            raise Failure(
                f"--search {names}: {field.name} is shorter than the minimum of a search, 2 "
                "characters."
            )
        if field.is_secret:
            raise Failure(
                f"--search {names}: {field.name} is secret; add --shown {field.name} if responses "
                "may contain it."
            )
    return fields


def _unique_rules(
    by_name: Mapping[str, Field], options: Sequence[str], plural: str
) -> list[list[Field]]:
    rules: list[list[Field]] = []
    for names in options:
        fields = _unique(by_name, names, plural)
        for rule in rules:
            if {field.column for field in rule} == {field.column for field in fields}:
                raise Failure(f"--unique {names}: this rule is given twice.")
        rules.append(fields)
    return rules


def _unique(by_name: Mapping[str, Field], names: str, plural: str) -> list[Field]:
    fields = _select(by_name, names, "--unique")
    if all(field.default for field in fields):
        raise Failure(f"--unique {names}: the second row with the default would be refused.")
    if all(field.values < MIN_UNIQUE_VALUES for field in fields):
        values = max(field.values for field in fields)
        raise Failure(
            f"--unique {names}: there are only {values} different values, so the table could have "
            "few rows. For one special row, add a partial unique index by hand."
        )
    for field in fields:
        if field.table == plural:
            raise Failure(
                f"--unique {names}: {field.name} is null in the first of the {plural}, and nulls "
                "are never equal; add that constraint by hand."
            )
        if not field.fits_index or field.kind.column == "JSONB":
            raise Failure(
                f"--unique {names}: {field.name} is too large for an index; use a str of up to "
                f"{MAX_INDEXED_LENGTH} characters."
            )
    return fields


def _select(by_name: Mapping[str, Field], names: str, option: str) -> list[Field]:
    selected = []
    for name in names.split(","):
        if name not in by_name:
            fields = ", ".join(dict.fromkeys(field.name for field in by_name.values()))
            raise Failure(f"{option} {names}: {name!r} is none of the fields {fields}.")
        selected.append(by_name[name])
    _refuse_duplicates([field.name for field in selected], f"in {option} {names}, a field")
    return selected
