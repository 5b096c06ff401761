"""Lists: pages by offset and by key, sorted and filtered by declared columns."""

import random
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from datetime import date
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.security.encryption import encrypt
from plinth.testing.answers import check_invalid
from plinth.testing.people import People, Person

pytestmark = pytest.mark.no_cover  # a thousand repetitions; other tests cover this faster

WITHOUT_PREFIX = len("/api/v1")


@pytest.fixture
async def user(people: People) -> Person:
    return await people.enter()


async def fill(second: asyncpg.Connection, owner: Person, rows: Iterable[tuple[Any, ...]]) -> None:
    await second.executemany(
        "INSERT INTO drafts (owner_id, title, due, priority, body) VALUES ($1, $2, $3, $4, $5)",
        [(owner.id, *row) for row in rows],
    )


def numbered(count: int) -> list[tuple[Any, ...]]:
    """Return rows of which many have the same sort key, and some have no date."""
    chance = random.Random(7)
    days = [None, *(f"2026-0{month}-01" for month in range(1, 5))]
    return [
        (f"draft {number:03}", as_date(chance.choice(days)), chance.randrange(4), None)
        for number in range(count)
    ]


def as_date(day: str | None) -> Any:
    return date.fromisoformat(day) if day else None


async def walk(
    client: AsyncClient, user: Person, path: str, link: str = "next"
) -> list[list[dict[str, Any]]]:
    """Return each page from `path` on, following the links."""
    pages = []
    while path:
        answer = await client.get(path, headers=user.headers)
        assert answer.status_code == 200, answer.text
        pages.append(answer.json()["items"])
        path = (answer.json()[link] or "")[WITHOUT_PREFIX:]
    return pages


async def get(client: AsyncClient, user: Person, path: str) -> dict[str, Any]:
    answer = await client.get(path, headers=user.headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def titles(items: Iterable[dict[str, Any]]) -> list[str]:
    return [item["title"] for item in items]


def flat(pages: Iterable[Iterable[dict[str, Any]]]) -> list[str]:
    return [title for page in pages for title in titles(page)]


async def test_text_is_equal_in_nfc_and_nfd(client: AsyncClient, user: Person) -> None:
    composed, decomposed = "Caf\u00e9 Z\u00fcrich", "Cafe\u0301 Zu\u0308rich"
    made = await client.post(
        "/drafts/", headers=user.headers, json={"title": decomposed, "body": f"{decomposed}\n"}
    )
    assert made.status_code == 201, made.text
    assert (made.json()["title"], made.json()["body"]) == (composed, f"{composed}\n")
    again = await client.post("/drafts/", headers=user.headers, json={"title": composed})
    assert (again.status_code, again.json()["code"]) == (409, "draft_title_taken")
    for form in (composed, decomposed):
        for name, text in (("q", form[:6]), ("title", form), ("title__contains", form[:6])):
            found = await client.get("/drafts/", headers=user.headers, params={name: text})
            assert titles(found.json()["items"]) == [composed], (name, ascii(form))


@pytest.mark.parametrize("field", ["title", "body"])
async def test_too_many_combining_marks_are_refused(
    client: AsyncClient, user: Person, field: str
) -> None:
    """Normalizing them takes quadratic time: minutes for a body of one megabyte."""
    for marks, status in (("\u0301\u0327" * 15, 201), ("\u0301\u0327" * 30_000, 422)):
        draft = {"title": "a title", field: f"e{marks}"}
        answer = await client.post("/drafts/", headers=user.headers, json=draft)
        assert answer.status_code == status


SORTS = {
    "title": "title, id",
    "-title": "title DESC, id DESC",
    "priority": "priority, id",
    "-priority,title": "priority DESC, title, id",
    "due": "due, id",
    "-due": "due DESC, id DESC",
    "-due,priority,-title": "due DESC, priority, title DESC, id DESC",
    "created_at": "created_at, id",
}


@pytest.mark.parametrize(("sort", "order"), SORTS.items())
@pytest.mark.parametrize("limit", [1, 7, 40])
async def test_cursor_pages_follow_each_other_in_both_directions(
    client: AsyncClient,
    user: Person,
    second: asyncpg.Connection,
    sort: str,
    order: str,
    limit: int,
) -> None:
    await fill(second, user, numbered(40 if limit > 1 else 12))
    expected = [
        row["title"] for row in await second.fetch(f"SELECT * FROM drafts ORDER BY {order}")
    ]

    pages = await walk(client, user, f"/drafts/?sort={sort}&limit={limit}")

    assert flat(pages) == expected
    assert all(len(page) == limit for page in pages[:-1])
    last = await get(client, user, f"/drafts/?sort={sort}&limit={limit}&skip={len(expected) - 1}")
    assert last["next"] is None
    if limit < len(expected):
        back = await walk(client, user, last["prev"][WITHOUT_PREFIX:], "prev")
        assert flat(reversed(back)) == expected[:-1]


async def test_concurrent_changes_cause_no_missed_or_repeated_rows(
    client: AsyncClient, user: Person, second: asyncpg.Connection
) -> None:
    await fill(second, user, numbered(60))
    there = {row["title"] for row in await second.fetch("SELECT title FROM drafts")}
    gone: set[str] = set()
    seen: list[str] = []
    chance = random.Random(3)
    path = "/drafts/?sort=-priority,title&limit=7"
    while path:
        page = await get(client, user, path)
        seen += titles(page["items"])
        await fill(second, user, [(f"new {len(seen)}-{n}", None, n, None) for n in range(4)])
        victim = chance.choice(sorted(there - gone))
        await second.execute("DELETE FROM drafts WHERE title = $1", victim)
        gone.add(victim)
        path = (page["next"] or "")[WITHOUT_PREFIX:]

    assert len(seen) == len(set(seen))
    assert there - gone <= set(seen)


async def test_offset_page_has_a_total_and_cursor_page_has_none(
    client: AsyncClient, user: Person, second: asyncpg.Connection
) -> None:
    await fill(second, user, numbered(25))

    first = await get(client, user, "/drafts/?limit=10")
    assert {name: first[name] for name in ("total", "page", "size", "pages", "prev")} == {
        "total": 25,
        "page": 1,
        "size": 10,
        "pages": 3,
        "prev": None,
    }
    following = await get(client, user, first["next"][WITHOUT_PREFIX:])
    assert (following["total"], following["page"], following["pages"]) == (None, None, None)
    counted = await get(client, user, first["next"][WITHOUT_PREFIX:] + "&total=true")
    assert counted["total"] == 25
    assert (await get(client, user, "/drafts/?total=false"))["total"] is None
    assert (await get(client, user, "/drafts/?skip=20&limit=10"))["page"] == 3


async def test_a_page_after_the_last_row_is_empty(
    client: AsyncClient, user: Person, second: asyncpg.Connection
) -> None:
    await fill(second, user, numbered(3))
    first = await get(client, user, "/drafts/?limit=2&sort=title")
    await second.execute("DELETE FROM drafts WHERE title > 'draft 001'")

    after = await get(client, user, first["next"][WITHOUT_PREFIX:])

    assert (after["items"], after["next"], after["prev"]) == ([], None, None)


FILTERS = {
    "title=two": ["two"],
    "title=two&title=one": ["one", "two"],
    "title__contains=ON": ["one"],
    "title__contains=_o": ["50%_off"],
    "title__contains=%25_": ["50%_off"],
    "due__gte=2026-02-01": ["three", "two"],
    "due__gt=2026-02-01": ["three"],
    "due__lte=2026-02-01": ["one", "two"],
    "due__lt=2026-02-01": ["one"],
    "due__null=true": ["50%_off"],
    "due__null=false": ["one", "three", "two"],
    "due=2026-01-01&due=2026-03-01": ["one", "three"],
    "priority__gte=2&due__null=false": ["three", "two"],
    "folder_id=1": [],
    "q=MILK": ["one"],
    "q=50%25": ["50%_off"],
}


@pytest.mark.parametrize(("query", "expected"), FILTERS.items())
async def test_a_list_is_filtered_by_declared_columns(
    client: AsyncClient,
    user: Person,
    second: asyncpg.Connection,
    query: str,
    expected: list[str],
) -> None:
    await fill(
        second,
        user,
        [
            ("one", as_date("2026-01-01"), 1, "Buy milk"),
            ("two", as_date("2026-02-01"), 2, None),
            ("three", as_date("2026-03-01"), 3, ""),
            ("50%_off", None, 4, None),
        ],
    )

    page = await get(client, user, f"/drafts/?sort=title&limit=3&{query}")
    rest = await walk(client, user, (page["next"] or "")[WITHOUT_PREFIX:])

    assert sorted(titles(page["items"]) + flat(rest)) == sorted(expected)
    assert page["total"] == len(expected)


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("sort=body", "sort"),
        ("sort=owner_id", "sort"),
        ("sort=", "sort"),
        ("sort=title,", "sort"),
        ("sort=title;drop", "sort"),
        ("priority=x", "priority.0"),
        ("priority=9223372036854775808", "priority.0"),
        ("due__gte=yesterday", "due__gte"),
        ("due__null=perhaps", "due__null"),
        ("title__contains=a", "title__contains"),
        ("title=%00", "title.0"),
        ("q=a", "q"),
        ("owner_id=1", "owner_id"),
        ("body__contains=abc", "body__contains"),
        ("title__like=abc", "title__like"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("skip=-1", "skip"),
        ("total=many", "total"),
        ("cursor=", "cursor"),
        ("cursor=abc", "cursor"),
        ("cursor=%F0%9F%98%80", "cursor"),
        ("nonsense=1", "nonsense"),
    ],
)
async def test_undeclared_parameter_is_refused(
    client: AsyncClient, user: Person, query: str, place: str
) -> None:
    check_invalid(await client.get(f"/drafts/?{query}", headers=user.headers), f"query.{place}")


@pytest.mark.parametrize("column", ["body", "gone", "__class__"])
async def test_cursor_of_a_removed_sort_order_is_refused(
    client: AsyncClient, user: Person, column: str
) -> None:
    old = {"sort": f"{column},-title", "backwards": False, "values": ["a", "b", 1]}
    cursor = urlsafe_b64encode(encrypt(old, belongs_to="cursor of drafts")).decode()
    answer = await client.get("/drafts/", params={"cursor": cursor}, headers=user.headers)
    check_invalid(answer, "query.cursor")


async def test_cursor_of_another_sort_order_is_refused(
    client: AsyncClient, user: Person, second: asyncpg.Connection
) -> None:
    await fill(second, user, numbered(5))
    page = await get(client, user, "/drafts/?sort=title&limit=2")
    (cursor,) = parse_qs(urlsplit(page["next"]).query)["cursor"]
    assert "draft" not in cursor

    changed = cursor[:-4] + ("AAAA" if cursor[-4:] != "AAAA" else "BBBB")
    other = encrypt({"sort": "title", "backwards": False, "values": ["a", 1]}, belongs_to="mail")
    for query in (
        f"cursor={changed}",
        f"cursor={other.hex()}",
        f"cursor={cursor}&sort=-title",
        f"cursor={cursor}&skip=1",
    ):
        answer = await client.get(f"/drafts/?{query}", headers=user.headers)
        check_invalid(answer, "query.cursor")
    without_sort = await get(client, user, f"/drafts/?cursor={cursor}&limit=2")
    assert titles(without_sort["items"]) == ["draft 002", "draft 003"]
    users = await client.get(f"/users/?cursor={cursor}", headers=user.headers)
    assert users.status_code == 403


async def test_page_links_keep_the_query_parameters(
    client: AsyncClient, user: Person, second: asyncpg.Connection
) -> None:
    await fill(second, user, numbered(30))

    page = await get(client, user, "/drafts/?limit=2&priority=1&priority=2&sort=title&skip=1")

    asked = parse_qs(urlsplit(page["next"]).query)
    del asked["cursor"]
    assert asked == {"limit": ["2"], "priority": ["1", "2"], "sort": ["title"]}
    assert page["next"].startswith("/api/v1/drafts/?")


async def test_list_contains_only_own_rows(
    client: AsyncClient, people: People, user: Person, second: asyncpg.Connection
) -> None:
    other, superuser = await people.enter(), await people.enter(is_superuser=True)
    await fill(second, user, [("mine", None, 0, "milk")])
    await fill(second, other, [("theirs", None, 0, "milk")])

    for query in ("", "q=milk", "title__contains=hei", "title=mine&title=theirs"):
        seen = titles((await get(client, user, f"/drafts/?{query}"))["items"])
        assert "theirs" not in seen
    assert titles((await get(client, superuser, "/drafts/?sort=title"))["items"]) == [
        "mine",
        "theirs",
    ]


async def test_users_list_uses_the_same_paging(client: AsyncClient, people: People) -> None:
    superuser = await people.enter(is_superuser=True)
    ids = [superuser.id, *[(await people.add()).id for _ in range(6)]]

    pages = await walk(client, superuser, "/users/?limit=3")
    assert [item["id"] for page in pages for item in page] == ids
    newest = await walk(client, superuser, "/users/?limit=3&sort=-created_at")
    assert [item["id"] for page in newest for item in page] == ids[::-1]
    found = await get(client, superuser, "/users/?is_superuser=true")
    assert [item["id"] for item in found["items"]] == [superuser.id]
    assert found["total"] == 1
