"""From what was typed to what is to be written; all that is wrong with it is said here."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Table, UniqueConstraint

from app.cli.failure import Failure
from app.cli.new.fields import Field, parse_field
from app.cli.new.resource import Resource, Target
from app.cli.new.words import check_resource_name, check_table_name, pluralise

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
) -> Resource:
    """
    Args:
        tables: those that are there, by name.

    Raises:
        Failure: what is wrong, with the argument that has it.
    """
    check_resource_name(name)
    if not specs:
        raise Failure(f"Say at least one field, as: plinth new {name} title:str:200")
    fields = [parse_field(spec) for spec in specs]
    _refuse_twice([field.column for field in fields], "a field")
    plural = plural or pluralise(name)
    check_table_name(plural, f"--plural {plural}")
    by_name = {field.name: field for field in fields} | {field.column: field for field in fields}
    resource = Resource(
        name=name,
        plural=plural,
        fields=fields,
        targets=[
            _target(field, tables, plural, owned=owned, public=public)
            for field in fields
            if field.table
        ],
        is_owned=owned,
        is_public=public,
        search=_searched(by_name, search),
        unique=[_unique(by_name, names, plural) for names in unique],
    )
    resource.check()
    return resource


def _refuse_twice(names: Sequence[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise Failure(f"{name}: {what} cannot be there twice.")


def _target(field: Field, tables: Tables, plural: str, *, owned: bool, public: bool) -> Target:
    said = f"{field.name}:ref:{field.table}"
    if field.table == plural and not field.is_optional:
        raise Failure(f"{said}: the first of the {plural} could refer to none; say {said}?")
    if field.table == plural:
        return Target(field, plural, is_private=owned and not public, is_itself=True)
    table = tables.get(field.table or "")
    if table is None or not _can_be_referred_to(table):
        there = sorted(name for name, table in tables.items() if _can_be_referred_to(table))
        raise Failure(f"{said}: no such table; there are {', '.join(there)}.")
    is_private = any(
        {column.name for column in constraint.columns} == {"id", "owner_id"}
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint)
    )
    if is_private and not owned:
        raise Failure(
            f"{said}: {table.name} belong to their owners, and a table without owners would show "
            "them to everyone: add --owned."
        )
    is_theirs = table.name == "users" or (not is_private and "owner_id" in table.columns)
    return Target(field, table.name, is_private, goes_with_users=is_theirs)


def _can_be_referred_to(table: Table) -> bool:
    """Users and people's own resources; what the house keeps for itself is its own affair."""
    return table.name == "users" or "version" in table.columns


def _searched(by_name: Mapping[str, Field], names: str | None) -> list[Field]:
    fields = _named(by_name, names, "--search") if names is not None else []
    for field in fields:
        if not field.kind.is_text:
            raise Failure(f"--search {names}: {field.name} is no text; str and text are searched.")
        if field.size == "1":
            raise Failure(f"--search {names}: {field.name} is shorter than what one searches for.")
    return fields


def _unique(by_name: Mapping[str, Field], names: str, plural: str) -> list[Field]:
    fields = _named(by_name, names, "--unique")
    if all(field.default for field in fields):
        raise Failure(f"--unique {names}: the second row with the default would be refused.")
    for field in fields:
        if field.table == plural:
            raise Failure(
                f"--unique {names}: {field.name} is null where the {plural} begin, and nulls are "
                "never the same: that constraint is for you to write."
            )
        if not field.fits_index or field.kind.column == "JSONB":
            raise Failure(
                f"--unique {names}: {field.name} is too large for an index; a str of up to 500 is "
                "not."
            )
    return fields


def _named(by_name: Mapping[str, Field], names: str, option: str) -> list[Field]:
    found = []
    for name in names.split(","):
        if name not in by_name:
            fields = ", ".join(dict.fromkeys(field.name for field in by_name.values()))
            raise Failure(f"{option} {names}: {name or 'nothing'} is none of the fields {fields}.")
        found.append(by_name[name])
    _refuse_twice([field.name for field in found], f"in {option} {names}, a field")
    return found
