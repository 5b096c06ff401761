"""What `plinth new` understands, and what it refuses before anything is written."""

from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, MetaData, Table, UniqueConstraint

from app.cli.failure import Failure
from app.cli.new.design import design
from app.cli.new.fields import parse_field
from app.cli.new.resource import Resource

ARGUMENTS: dict[str, Any] = {
    "plural": None,
    "owned": False,
    "public": False,
    "search": None,
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


def test_the_plural_can_be_said() -> None:
    assert designed("medium", "title:str", plural="media").path == "media"


@pytest.mark.parametrize(
    ("spec", "hint", "arguments"),
    [
        ("title:str", "str", ["String(255)"]),
        ("title:str:20?", "str | None", ["String(20)"]),
        ("title:str:20=a: b=c?", "str", ["String(20)", "server_default=text(\"'a: b=c?'\")"]),
        ("title:str:20=it's :x", "str", ["String(20)", r"""server_default=text("'it''s \\:x'")"""]),
        ("body:text?", "str | None", ["Text"]),
        ("count:int=-3", "int", ["server_default=text(\"'-3'\")"]),
        ("count:int?=3", "int | None", []),
        ("weight:float=0.5", "float", ['server_default=text("0.5")']),
        ("price:decimal", "Decimal", ["Numeric(12, 2)"]),
        ("price:decimal:8,3?", "Decimal | None", ["Numeric(8, 3)"]),
        ("done:bool=false", "bool", ['server_default=text("false")']),
        ("due:date?", "date | None", []),
        ("at:datetime=2026-01-31T09:00:00+01:00", "datetime", []),
        ("key:uuid", "UUID", ["index=True"]),
        ("extra:json={}", "dict[str, Any]", ["JSONB", "server_default=text(\"'{}'\")"]),
        ("category:ref:categories", "int", ["index=True"]),
    ],
)
def test_a_field_is_read(spec: str, hint: str, arguments: list[str]) -> None:
    field = parse_field(spec)
    assert field.hint == hint
    assert field.arguments[: len(arguments)] == arguments
    assert len(set(field.samples)) == 2 or field.table


REFUSED_FIELDS = {
    "title": "a field is name:type",
    "title:": "a field is name:type",
    "title:varchar": "varchar is no type",
    "Title:str": "snake_case",
    "ti__tle:str": "two underscores",
    "_title:str": "snake_case",
    "9title:str": "snake_case",
    "titlé:str": "snake_case",
    "class:str": "a word of Python",
    "match:str": "a word of Python",
    "order:int": "a reserved word of SQL",
    "limit:int": "a query parameter of every list",
    "id:int": "a column that the table has",
    "version:int": "a column that the table has",
    "owner_id:int": "a column that the table has",
    "metadata:json": "means something else",
    "registry:str": "means something else",
    "copy:str": "means something else",
    "date:date": "means something else",
    "text:text": "means something else",
    f"{'x' * 41}:str": "longer than 40",
    "title:str:0": "from 1 to 10000",
    "title:str:99999": "from 1 to 10000",
    "title:str:many": "from 1 to 10000",
    "title:text:20": "text takes no length",
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
    "project:ref": "say which table",
    "project_id:ref:projects": "leave out the _id",
    "project:ref:projects=1": "a reference has no default",
}


@pytest.mark.parametrize(("spec", "why"), REFUSED_FIELDS.items())
def test_a_field_that_cannot_be_is_refused(spec: str, why: str) -> None:
    with pytest.raises(Failure) as refused:
        designed("note", "title_of_it:str", spec)
    assert why in str(refused.value)
    assert str(refused.value).startswith(f"{spec}: ")


REFUSED = [
    ({"name": "Note"}, "NAME: Note is not in snake_case"),
    ({"name": "class"}, "a word of Python"),
    ({"name": "type"}, "a word of Python"),
    ({"name": "filter"}, "means something else"),
    ({"name": "page"}, "means something else"),
    ({"name": "text"}, "means something else"),
    ({"name": "work__item"}, "two underscores"),
    ({"plural": "order"}, "--plural order: order is a reserved word of SQL"),
    ({"plural": "Notes"}, "--plural Notes: Notes is not in snake_case"),
    ({"fields": ()}, "Say at least one field"),
    ({"fields": ("a:str", "a:int")}, "a: a field cannot be there twice"),
    ({"fields": ("a:ref:users", "a_id:int")}, "a_id: a field cannot be there twice"),
    ({"fields": ("a:ref:nowhere",)}, "no such table; there are categories, posts, projects, users"),
    ({"fields": ("a:ref:sessions",)}, "no such table"),
    ({"fields": ("a:ref:notes",)}, "could refer to none; say a:ref:notes?"),
    ({"fields": ("a:ref:projects",)}, "add --owned"),
    ({"search": "count"}, "--search count: count is no text"),
    ({"search": "title,"}, "--search title,: nothing is none of the fields title, count, body"),
    ({"search": "title,title"}, "cannot be there twice"),
    ({"unique": ("body",)}, "--unique body: body is too large for an index"),
    (
        {"fields": ("a:ref:notes?", "title:str"), "unique": ("a,title",)},
        "--unique a,title: a is null where the notes begin",
    ),
    (
        {"fields": ("a:str=x", "b:int=1"), "unique": ("a,b",)},
        "--unique a,b: the second row with the default",
    ),
    ({"unique": ("titel",)}, "titel is none of the fields"),
    (
        {"plural": f"{'x' * 40}", "fields": (f"{'y' * 40}:int",)},
        "would be longer than 63 characters",
    ),
]


@pytest.mark.parametrize(("arguments", "why"), REFUSED)
def test_what_cannot_be_is_refused_with_a_sentence(arguments: dict[str, Any], why: str) -> None:
    fields = arguments.pop("fields", ("title:str", "count:int", "body:text"))
    with pytest.raises(Failure) as refused:
        designed(arguments.pop("name", "note"), *fields, **arguments)
    assert why in str(refused.value)


def test_a_reference_between_owners_tables_is_within_one_owners_rows() -> None:
    private, open_to_all = designed(
        "task", "project:ref:projects", "category:ref:categories?", owned=True
    ).targets
    assert private.columns == ["project_id", "owner_id"]
    assert private.referred == ["projects.id", "projects.owner_id"]
    assert (private.ondelete, open_to_all.ondelete) == (None, "SET NULL")
    assert open_to_all.columns == ["category_id"]


def test_a_row_can_refer_to_one_of_its_own_table() -> None:
    (parent,) = designed("folder", "name:str", "parent:ref:folders?", owned=True).targets
    assert (parent.columns, parent.ondelete) == (["parent_id", "owner_id"], "SET NULL (parent_id)")


def test_a_user_can_be_deleted_whatever_refers_to_them() -> None:
    needed, optional = designed("task", "author:ref:users", "reader:ref:users?").targets
    assert (needed.ondelete, optional.ondelete) == ("CASCADE", "SET NULL")
    needed, optional = designed("comment", "post:ref:posts", "about:ref:posts?", owned=True).targets
    assert (needed.ondelete, optional.ondelete) == ("CASCADE", "SET NULL"), "nor to what is theirs"


def test_an_index_for_each_order_but_not_beside_a_unique_constraint() -> None:
    found = designed(
        "note", "title:str", "slug:str", "long:str:501", "body:text", owned=True, unique=["slug"]
    )
    assert found.sorted_by == ["created_at", "title", "slug"]
    assert found.indexes == ["created_at", "title"]
    assert found.unique_columns(found.unique[0]) == ["owner_id", "slug"]


def test_one_expression_is_searched_as_postgresql_prints_it() -> None:
    found = designed("note", "a:str", "b:text?", "c:str?", search="a,b,c")
    assert found.searched == (
        r"(((notes.a || '\n') || COALESCE(notes.b, '')) || '\n') || COALESCE(notes.c, '')"
    )
