"""From what was typed to what is to be written; all that is wrong with it is said here."""

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
) -> Resource:
    """
    Args:
        name: in the singular; a plural is taken for one, unless `plural` is given as well.
        tables: those that exist, by name.

    Raises:
        Failure: what is wrong, with the argument that has it.
    """
    if plural is None:
        name, plural = name_and_plural(name)
    check_resource_name(name)
    check_table_name(plural, f"--plural {plural}")
    if not specs:
        raise Failure(f"Give at least one field, as: plinth new {name} title:str:200")
    fields = _decide_secrets([parse_field(spec) for spec in specs], secret, shown)
    _refuse_twice([field.column for field in fields], "a field")
    by_name = _by_name(fields)
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
        unique=_unique_rules(by_name, unique, plural),
    )
    if all(field.table == plural for field in fields):
        raise Failure(
            f"Give {name} a field that does not refer to {plural}, as: plinth new {name} "
            f"title:str:200 {' '.join(specs)}"
        )
    resource.check()
    return resource


def name_and_plural(name: str) -> tuple[str, str]:
    """
    Raises:
        Failure: it is no name.
    """
    check_form(name, "NAME")
    if singular := singular_of(name):
        return singular, name
    return name, pluralize(name)


def _by_name(fields: Sequence[Field]) -> Mapping[str, Field]:
    return {field.name: field for field in fields} | {field.column: field for field in fields}


def _decide_secrets(
    fields: Sequence[Field], secret: str | None, shown: str | None
) -> Sequence[Field]:
    """Mark the fields that `--secret` names, and those that sound secret unless `--shown` does."""
    by_name = _by_name(fields)
    hidden = _named(by_name, secret, "--secret") if secret is not None else []
    open_to_read = _named(by_name, shown, "--shown") if shown is not None else []
    for field in hidden:
        if field in open_to_read:
            raise Failure(f"--secret {secret}: {field.name} is in --shown as well.")
        if not field.kind.may_be_secret:
            raise Failure(f"--secret {secret}: {field.name} is no str, text, uuid or json.")
    decided = [
        replace(field, is_secret=field in hidden or field.sounds_secret)
        if field not in open_to_read
        else field
        for field in fields
    ]
    for field in decided:
        if field.is_secret and field.default is not None:
            raise Failure(
                f"{field.name}: a secret with a default is none; leave out the default, or add "
                f"--shown {field.name} if it may be read."
            )
    return decided


def _refuse_twice(names: Sequence[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise Failure(f"{name}: {what} cannot be there twice.")


def _target(field: Field, tables: Tables, plural: str, *, owned: bool, public: bool) -> Target:
    said = f"{field.name}:ref:{field.table}"
    if field.table == plural and not field.is_optional:
        raise Failure(f"{said}: the first of the {plural} could refer to none; write {said}?")
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
            raise Failure(f"--search {names}: {field.name} is shorter than a search, 2 characters.")
        if field.is_secret:
            raise Failure(
                f"--search {names}: {field.name} is secret; add --shown {field.name} if it may be "
                "read."
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
    fields = _named(by_name, names, "--unique")
    if all(field.default for field in fields):
        raise Failure(f"--unique {names}: the second row with the default would be refused.")
    if all(field.values < MIN_UNIQUE_VALUES for field in fields):
        values = max(field.values for field in fields)
        raise Failure(
            f"--unique {names}: there are only {values} different values, and so hardly any rows. "
            "For one row that is special, write a partial unique index."
        )
    for field in fields:
        if field.table == plural:
            raise Failure(
                f"--unique {names}: {field.name} is null in the first of the {plural}, and nulls "
                "are never equal; write that constraint yourself."
            )
        if not field.fits_index or field.kind.column == "JSONB":
            raise Failure(
                f"--unique {names}: {field.name} is too large for an index; use a str of up to "
                f"{MAX_INDEXED_LENGTH} characters."
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
