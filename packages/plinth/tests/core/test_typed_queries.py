"""Fast reads whose columns and values a type checker knows: joins, EXISTS, columns of a viewer."""

import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pytest
from pydantic import BaseModel, Field
from sqlalchemy import Select, exists, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import aliased

from plinth.accounts.models import Session, User
from plinth.db.database import Database
from plinth.db.reading import Readable, in_list, typed_query
from plinth.errors import NotFound
from plinth.testing.people import People
from tests.support.environment import ROOT


class Name(BaseModel):
    username: str


ENDED = "UPDATE sessions SET revoked_at = now() WHERE user_id = $1"


class Member(NamedTuple):
    id: int
    username: str
    sessions: int
    is_me: bool
    full_name: str | None


@typed_query(Member)
def list_members(
    *, viewer: int | None, limit: int, offset: int
) -> Select[int, str, int, bool, str | None]:
    """Return the users with a live session that a viewer may see."""
    live = Session.revoked_at.is_(None)
    count = select(func.count(Session.id)).where(Session.user_id == User.id, live)
    return (
        select(
            User.id,
            User.username,
            count.correlate(User).scalar_subquery().label("sessions"),
            func.coalesce(User.id == viewer, False).label("is_me"),
            User.full_name,
        )
        .where(exists().where(Session.user_id == User.id, live))
        .order_by(User.id)
        .limit(limit)
        .offset(offset)
    )


class Pair(NamedTuple):
    name: str
    began: datetime


@typed_query(Pair)
def find_pairs(*, ids: list[int], name: str) -> Select[str, datetime]:
    other = aliased(Session)
    return (
        select(User.username.label("name"), other.created_at.label("began"))
        .join(other, other.user_id == User.id)
        .where(in_list(User.id, ids), User.username != name)
    )


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_page_depends_on_its_viewer(
    database: Database, people: People, in_transaction: bool
) -> None:
    first, second, third = [await people.enter() for _ in range(3)]
    await people.sign_in(second)

    async def read(**values: Any) -> list[Member]:
        if not in_transaction:
            return await list_members.all(database.reader, **values)
        async with database.transaction() as db:
            return await list_members.all(db, **values)

    rows = await read(viewer=second.id, limit=2, offset=0)
    assert [(it.id, it.sessions, it.is_me) for it in rows] == [
        (first.id, 1, False),
        (second.id, 2, True),
    ]
    assert all(type(it) is Member for it in rows)
    assert [it.id for it in await read(viewer=None, limit=2, offset=2)] == [third.id]
    assert not any(it.is_me for it in await read(viewer=None, limit=9, offset=0))


async def test_exists_filter_omits_rows_without_a_match(
    database: Database, people: People, second: Any
) -> None:
    gone, there = await people.enter(), await people.enter()
    await people.add()
    await second.execute(ENDED, gone.id)
    rows = await list_members.all(database.reader, viewer=None, limit=9, offset=0)
    assert [it.id for it in rows] == [there.id]


async def test_list_parameter_is_passed_as_an_array(database: Database, people: People) -> None:
    one, two, three = [await people.enter() for _ in range(3)]
    rows = await find_pairs.all(database.reader, ids=[one.id, two.id], name=two.username)
    assert [it.name for it in rows] == [one.username]
    none = await find_pairs.first(database.reader, ids=[], name=three.username)
    assert none is None


class Shown(BaseModel):
    username: Annotated[str, Field(validation_alias="username")]
    id: int
    owner: Name


class Range(BaseModel):
    least: int = 0
    names: list[str]
    limit: int = 9


@typed_query(Shown, item="blog_post")
def show_members(*, range_: Range, skip: int = 0) -> Select[int, str, Any]:
    owner = func.jsonb_build_object("username", User.username, type_=JSONB).label("owner")
    found = select(User.id, User.username, owner).where(User.id >= range_.least)
    named = found.where(in_list(User.username, range_.names)).order_by(User.id)
    return named.limit(range_.limit).offset(skip)


@typed_query(int)
def list_ids(*, least: int) -> Select[int]:
    return select(User.id).where(User.id >= least).order_by(User.id)


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_row_can_be_a_model_and_parameters_a_group(
    database: Database, people: People, in_transaction: bool
) -> None:
    one, two, three = [await people.add() for _ in range(3)]
    names = [one.username, two.username, three.username]

    async def read(db: Readable) -> None:
        rows = await show_members.all(db, range_=Range(least=two.id, names=names))
        assert [type(it) for it in rows] == [Shown, Shown]
        assert rows[0] == Shown(id=two.id, username=two.username, owner=Name(username=two.username))
        everyone = Range(names=names, limit=1)
        rows, total = await show_members.page(db, range_=everyone, skip=1)
        assert ([it.id for it in rows], total) == ([two.id], 3)
        assert await show_members.page(db, range_=everyone, skip=9) == ([], 3)
        assert (await show_members.one(db, range_=everyone)).id == one.id

    if in_transaction:
        async with database.transaction() as db:
            await read(db)
    else:
        await read(database.reader)


async def test_single_column_returns_plain_values(database: Database, people: People) -> None:
    one, two = await people.add(), await people.add()
    assert await list_ids.all(database.reader, least=one.id) == [one.id, two.id]
    assert await list_ids.first(database.reader, least=two.id) == two.id


async def test_page_total_counts_distinct_rows(database: Database, people: People) -> None:
    for is_verified in (True, True, False):
        await people.add(is_verified=is_verified)

    @typed_query(bool)
    def list_states() -> Select[bool]:
        return select(User.is_verified).distinct().order_by(User.is_verified)

    assert await list_states.page(database.reader) == ([False, True], 2)


async def test_missing_row_error_names_the_model(database: Database) -> None:
    with pytest.raises(NotFound) as caught:
        await show_members.one(database.reader, range_=Range(names=[]))
    assert (caught.value.code, caught.value.detail) == (
        "blog_post_not_found",
        "Blog post not found",
    )
    with pytest.raises(NotFound) as caught:
        await list_ids.one(database.reader, least=1)
    assert caught.value.code == "not_found"


class Wrong(NamedTuple):
    id: int
    full_name: str


def test_mismatched_row_type_is_an_error_at_import() -> None:
    def names(*, one: int) -> Select[int, str]:
        return select(User.id, User.username).where(User.id == one)

    def kinds(*, one: int) -> Select[str, str | None]:
        return select(User.username.label("id"), User.full_name).where(User.id == one)

    def kinds_of_model() -> Select[str, str, str]:
        column = User.username
        return select(column.label("id"), column, column.label("owner"))

    def nulls(*, one: int) -> Select[int, str | None]:
        return select(User.id, User.full_name).where(User.id == one)

    with pytest.raises(TypeError, match=r"the column is str, but Shown\.id is int"):
        typed_query(Shown)(kinds_of_model)
    with pytest.raises(TypeError, match=r"the columns are \('id', 'username'\), but Shown has"):
        typed_query(Shown)(names)
    with pytest.raises(TypeError, match=r"the column is str, but int\.username is int"):
        typed_query(int)(lambda: select(User.username))
    with pytest.raises(TypeError, match=r"the columns are \('id', 'username'\), but int has"):
        typed_query(int)(names)
    for function, text in (
        (names, r"the columns are \('id', 'username'\), but Wrong has \('id', 'full_name'\)"),
        (kinds, "the column is str, but Wrong.id is int"),
        (nulls, "may be NULL, but Wrong.full_name does not"),
    ):
        with pytest.raises(TypeError, match=text):
            typed_query(Wrong)(function)


def test_parameter_must_be_keyword_only_with_a_type() -> None:
    def positional(one: int) -> Select[int]:
        return select(User.id).where(User.id == one)

    with pytest.raises(TypeError, match="give the parameter one a type and move it after"):
        typed_query(Wrong)(positional)


def test_a_field_of_a_group_cannot_replace_another_parameter() -> None:
    """Otherwise a client's filter `user.id` would take the place of the owner's `user_id`."""

    class Filters(BaseModel):
        id: int

    def both(*, user_id: int, user: Filters) -> Select[int]:
        return select(User.id).where(User.id == user_id, User.id == user.id)

    with pytest.raises(TypeError, match="more than one parameter is named user_id"):
        typed_query(int)(both)


RIGHT = """
rows = await list_members.all(db, viewer=1, limit=20, offset=0)
name: str = rows[0].username
mine: bool = rows[0].is_me
first = await find_pairs.first(db, ids=[1], name="ada")
began: datetime | None = first.began if first else None
"""
WRONG = {
    "rows[0].usernam": "rows = await list_members.all(db, viewer=1, limit=2, offset=0)\n"
    "rows[0].usernam",
    "a column of another type": "rows = await list_members.all(db, viewer=1, limit=2, offset=0)\n"
    "it: int = rows[0].username",
    "a value of another type": 'await list_members.all(db, viewer="ada", limit=2, offset=0)',
    "an unknown value": "await list_members.all(db, viewer=1, limit=2, offset=0, owner=1)",
    "a missing value": "await list_members.all(db, viewer=1, limit=2)",
    "a row that may be missing": 'it = await find_pairs.first(db, ids=[1], name="ada")\nit.name',
    "a list of another type": 'await find_pairs.all(db, ids=["1"], name="ada")',
}


def test_type_checker_checks_columns_and_parameters(tmp_path: Path) -> None:
    """mypy accepts correct use, and reports one error for each wrong use."""
    source = Path(__file__).read_text().partition('@pytest.mark.parametrize("in_transaction"')[0]
    bodies = [RIGHT, *WRONG.values()]
    functions = "".join(
        f"\n\nasync def use_{number}(db: Readable) -> None:\n"
        + "".join(f"    {line}\n" for line in body.strip().splitlines())
        for number, body in enumerate(bodies)
    )
    file = tmp_path / "used.py"
    file.write_text(f"from plinth.db.reading import Readable\n{source}{functions}")
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", str(file)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    first_line = file.read_text().splitlines().index("async def use_0(db: Readable) -> None:") + 1
    errors = [int(line.split(":")[1]) for line in ended.stdout.splitlines() if " error: " in line]
    starts = [
        number
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if line.startswith("async def use_")
    ]
    ends = [*starts[1:], len(file.read_text().splitlines()) + 1]
    assert all(it > first_line for it in errors), ended.stdout
    counts = [sum(a < it < b for it in errors) for a, b in zip(starts, ends, strict=True)]
    assert counts == [0, *[1] * len(WRONG)], ended.stdout
