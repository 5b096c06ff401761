"""Arguments that `plinth new` accepts, and those that it refuses before it writes a file."""

from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, MetaData, Table, UniqueConstraint

from plinth.cli.failure import Failure
from plinth.cli.new.columns.fields import parse_field
from plinth.cli.new.design import design
from plinth.cli.new.resource import Resource

ARGUMENTS: dict[str, Any] = {
    "plural": None,
    "owned": False,
    "public": False,
    "search": None,
    "secret": None,
    "shown": None,
    "unique": (),
}


def tables() -> dict[str, Table]:
    apart = MetaData()
    Table("users", apart, Column("id", BigInteger))
    Table("sessions", apart, Column("id", BigInteger))
    Table("categories", apart, Column("id", BigInteger), Column("version", BigInteger))
    Table(
        "projects",
        apart,
        Column("id", BigInteger),
        Column("owner_id", BigInteger),
        Column("version", BigInteger),
        UniqueConstraint("id", "owner_id"),
    )
    Table(
        "posts",
        apart,
        Column("id", BigInteger),
        Column("owner_id", BigInteger),
        Column("version", BigInteger),
    )
    return dict(apart.tables)


def designed(name: str, *fields: str, **arguments: Any) -> Resource:
    return design(name, fields, tables(), **(ARGUMENTS | {"plural": f"{name}s"} | arguments))


@pytest.mark.parametrize(
    ("name", "plural", "path", "model"),
    [
        ("note", "notes", "notes", "Note"),
        ("category", "categories", "categories", "Category"),
        ("person", "people", "people", "Person"),
        ("status", "statuses", "statuses", "Status"),
        ("bus", "buses", "buses", "Bus"),
        ("address", "addresses", "addresses", "Address"),
        ("box", "boxes", "boxes", "Box"),
        ("lens", "lenses", "lenses", "Lens"),
        ("news", "news", "news", "News"),
        ("data", "data", "data", "Data"),
        ("sheep", "sheep", "sheep", "Sheep"),
        ("item2", "item2s", "item2s", "Item2"),
        ("series", "series", "series", "Series"),
        ("equipment", "equipment", "equipment", "Equipment"),
        ("work_item", "work_items", "work-items", "WorkItem"),
        ("sales_person", "sales_people", "sales-people", "SalesPerson"),
    ],
)
def test_a_name_has_its_plural_and_its_class(name: str, plural: str, path: str, model: str) -> None:
    found = designed(name, "title:str", plural=None)
    assert (found.plural, found.path, found.model) == (plural, path, model)
    assert found.several != found.name


@pytest.mark.parametrize(
    ("plural", "name"),
    [
        ("tickets", "ticket"),
        ("statuses", "status"),
        ("addresses", "address"),
        ("boxes", "box"),
        ("people", "person"),
        ("children", "child"),
        ("menus", "menu"),
        ("indices", "index"),
        ("work_items", "work_item"),
    ],
)
def test_plural_name_is_converted_to_singular_unless_the_plural_is_given(
    plural: str, name: str
) -> None:
    found = designed(plural, "title:str", plural=None)
    assert (found.name, found.plural) == (name, plural)
    kept = designed(plural, "title:str", plural=plural)
    assert (kept.name, kept.plural) == (plural, plural)


def test_plural_can_be_given() -> None:
    assert designed("medium", "title:str", plural="media").path == "media"


@pytest.mark.parametrize(
    ("spec", "hint", "arguments"),
    [
        ("title:str", "str", ["String(255)"]),
        ("title:str:20?", "str | None", ["String(20)"]),
        ("title:str:20=a: b=c?", "str", ["String(20)", 'server_default="a: b=c?"']),
        ("title:str:20=it's :x", "str", ["String(20)", 'server_default=literal("it\'s :x")']),
        ("body:text?", "str | None", ["Text"]),
        ("count:int=-3", "int", ['server_default="-3"']),
        ("count:int?=3", "int | None", []),
        ("weight:float=0.5", "float", ['server_default="0.5"']),
        ("price:decimal", "Decimal", ["Numeric(12, 2)"]),
        ("price:decimal:8,3?", "Decimal | None", ["Numeric(8, 3)"]),
        ("done:bool=false", "bool", ['server_default="false"']),
        ("due:date?", "date | None", []),
        ("at:datetime=2026-01-31T09:00:00+01:00", "datetime", []),
        ("key:uuid", "UUID", ["index=True"]),
        ("extra:json={}", "dict[str, Any]", ["JSONB", 'server_default="{}"']),
        ("category:ref:categories", "int", ["index=True"]),
    ],
)
def test_field_is_parsed(spec: str, hint: str, arguments: list[str]) -> None:
    field = parse_field(spec)
    assert field.hint == hint
    assert field.arguments[: len(arguments)] == arguments
    assert len(set(field.samples)) == 2 or field.table


REFUSED_FIELDS = {
    "title": "a field is name:type",
    "title:": "a field is name:type",
    "title:varchar": "varchar is not a type",
    "Title:str": "snake_case",
    "ti__tle:str": "two underscores",
    "_title:str": "snake_case",
    "9title:str": "snake_case",
    "titlé:str": "snake_case",
    "class:str": "a keyword of Python",
    "id:int": "a column that every table has",
    "version:int": "a column that every table has",
    "owner_id:int": "a column that every table has",
    "metadata:json": "an attribute of every SQLAlchemy model",
    "registry:str": "an attribute of every SQLAlchemy model",
    "copy:str": "an attribute of every Pydantic model",
    "model_dump_at:date": "an attribute of every Pydantic model",
    "int:int": "a type that the model",
    "owner:ref:users": "a column that every table has",
    f"{'x' * 41}:str": "longer than 40",
    "title:str:0": "from 1 to 10000",
    "title:str:99999": "from 1 to 10000",
    "title:str:many": "from 1 to 10000",
    "title:text:20": "text has no length",
    "title:str:3=four": "longer than 3 characters",
    "title:str=a\nb": "one line",
    "count:int=x": "whole number below 2**53",
    "count:int=9007199254740992": "whole number below 2**53",
    "weight:float=nan": "a number such as 0.5",
    "price:decimal:4,5": "digits in all",
    "price:decimal:2,2": "digits in all",
    "price:decimal:5,2=1.234": "does not fit into decimal:5,2",
    "price:decimal:5,2=1000": "does not fit into decimal:5,2",
    "price:decimal=NaN": "a number such as 9.90",
    "done:bool=yes": "true or false",
    "due:date=2026-02-30": "does not fit",
    "at:datetime=2026-01-31T09:00:00": "must have a time zone",
    "key:uuid=x": "does not fit",
    "extra:json=[1]": "must be {}",
    "project:ref": "add the table",
    "project_id:ref:projects": "leave out the _id",
    "project:ref:projects=1": "a reference has no default",
}


@pytest.mark.parametrize(("spec", "why"), REFUSED_FIELDS.items())
def test_invalid_field_is_refused(spec: str, why: str) -> None:
    with pytest.raises(Failure) as refused:
        designed("note", "title_of_it:str", spec)
    assert why in str(refused.value)
    assert str(refused.value).startswith(f"{spec}: ")


REFUSED = [
    ({"name": "Note"}, "NAME: Note is not in snake_case"),
    ({"name": "class"}, "a keyword of Python"),
    ({"name": "type"}, "a built-in function or type"),
    ({"name": "filter"}, "a built-in function or type"),
    ({"name": "item_2"}, "item_2 and item2 would have the same class Item2"),
    ({"name": "work__item"}, "two underscores"),
    ({"plural": "order"}, "--plural order: order is a reserved word of SQL"),
    ({"plural": "Notes"}, "--plural Notes: Notes is not in snake_case"),
    ({"fields": ()}, "Give at least one field"),
    ({"fields": ("a:str", "a:int")}, "a: a field cannot be there twice"),
    ({"fields": ("a:ref:users", "a_id:int")}, "a_id: a field cannot be there twice"),
    (
        {"fields": ("a:ref:nowhere",)},
        "no such table; choose one of categories, posts, projects, users",
    ),
    ({"fields": ("a:ref:sessions",)}, "no such table"),
    ({"fields": ("a:ref:notes",)}, "cannot refer to another; write a:ref:notes?"),
    ({"fields": ("a:ref:projects",)}, "add --owned"),
    ({"search": "count"}, "--search count: count is not a str or text"),
    ({"search": "title,"}, "--search title,: '' is none of the fields title, count, body"),
    ({"search": "title,title"}, "cannot be there twice"),
    ({"unique": ("body",)}, "--unique body: body is too large for an index"),
    (
        {"fields": ("a:ref:notes?", "title:str"), "unique": ("a,title",)},
        "--unique a,title: a is null in the first of the notes",
    ),
    (
        {"fields": ("a:str=x", "b:int=1"), "unique": ("a,b",)},
        "--unique a,b: the second row with the default",
    ),
    ({"unique": ("titel",)}, "'titel' is none of the fields"),
    ({"fields": ("parent:ref:notes?",)}, "Give note a field that does not refer to notes"),
    ({"fields": ("on:bool",), "unique": ("on",)}, "only 2 different values"),
    ({"fields": ("a:decimal:1,0",), "unique": ("a",)}, "only 10 different values"),
    ({"unique": ("title", "title")}, "--unique title: this rule is given twice"),
    ({"unique": ("title,count", "count,title")}, "--unique count,title: this rule is given twice"),
    (
        {"fields": ("a:int", "b:int", "a_b:int"), "unique": ("a,b", "a_b")},
        "Two constraints or indexes would be named uq_notes_a_b",
    ),
    ({"fields": ("token:str",), "search": "token"}, "token is secret; add --shown token"),
    ({"fields": ("token:str=x",)}, "token: a secret cannot have a default"),
    ({"secret": "count"}, "--secret count: count is not a str, text, uuid or json"),
    ({"secret": "title", "shown": "title"}, "--secret title: title is in --shown as well"),
    (
        {"plural": f"{'x' * 40}", "fields": (f"{'y' * 40}:int",)},
        "would be longer than 63 characters",
    ),
]


@pytest.mark.parametrize(("arguments", "why"), REFUSED)
def test_invalid_design_is_refused_with_a_reason(arguments: dict[str, Any], why: str) -> None:
    fields = arguments.pop("fields", ("title:str", "count:int", "body:text"))
    with pytest.raises(Failure) as refused:
        designed(arguments.pop("name", "note"), *fields, **arguments)
    assert why in str(refused.value)


def test_reference_between_owned_tables_includes_the_owner() -> None:
    private, open_to_all = designed(
        "task", "project:ref:projects", "category:ref:categories?", owned=True
    ).targets
    assert private.columns == ["project_id", "owner_id"]
    assert private.referred == ["projects.id", "projects.owner_id"]
    assert (private.ondelete, open_to_all.ondelete) == (None, "SET NULL")
    assert open_to_all.columns == ["category_id"]


def test_table_can_reference_itself() -> None:
    (parent,) = designed("folder", "name:str", "parent:ref:folders?", owned=True).targets
    assert (parent.columns, parent.ondelete) == (["parent_id", "owner_id"], "SET NULL (parent_id)")


def test_references_to_users_do_not_prevent_deletion() -> None:
    needed, optional = designed("task", "author:ref:users", "reader:ref:users?").targets
    assert (needed.ondelete, optional.ondelete) == ("CASCADE", "SET NULL")
    needed, optional = designed("comment", "post:ref:posts", "about:ref:posts?", owned=True).targets
    assert (needed.ondelete, optional.ondelete) == ("CASCADE", "SET NULL"), "nor to what is theirs"


def test_each_sort_order_has_an_index_unless_unique() -> None:
    found = designed(
        "note", "title:str", "slug:str", "long:str:501", "body:text", owned=True, unique=["slug"]
    )
    assert found.sorted_by == ["created_at", "title", "slug"]
    assert found.indexes == ["created_at", "title"]
    assert found.unique_columns(found.unique[0]) == ["owner_id", "slug"]


def test_secret_names_are_secret_unless_listed_as_shown() -> None:
    def secrets(*fields: str, **options: str) -> list[str]:
        return [field.column for field in designed("note", *fields, **options).secrets]

    sounding = ("token:str?", "password:str", "api_key:uuid", "hash:str", "client_secret:text")
    assert secrets(*sounding) == ["token", "password", "api_key", "hash", "client_secret"]
    assert secrets("token_count:int", "hashtag:str", "key:str", "tokenizer:str") == []
    assert secrets("hash:str", "pin:str", shown="hash", secret="pin") == ["pin"]


def test_secret_cannot_be_sorted_or_filtered() -> None:
    found = designed("login", "token:str?", "key:uuid", secret="key")
    assert (found.sorted_by, found.filtered, found.visible) == (["created_at"], [], [])


def test_reserved_word_is_quoted_in_sql() -> None:
    found = designed("note", "user:str", "order:str?", search="user,order")
    assert found.searched == """(notes."user" || '\\n') || COALESCE(notes."order", '')"""
    assert found.searched_in_sql == r""""user" || E'\n' || coalesce("order", '')"""


def test_search_expression_matches_the_form_of_postgresql() -> None:
    found = designed("note", "a:str", "b:text?", "c:str?", search="a,b,c")
    assert found.searched == (
        r"(((notes.a || '\n') || COALESCE(notes.b, '')) || '\n') || COALESCE(notes.c, '')"
    )
