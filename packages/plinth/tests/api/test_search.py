"""`GET /users/search`: plain text, anywhere, without case."""

from typing import Literal
from unicodedata import normalize

import pytest
from httpx2 import AsyncClient

from plinth.testing.answers import check_invalid
from plinth.testing.people import People, Person


async def search(client: AsyncClient, person: Person, query: str, **more: int) -> list[int]:
    answer = await client.get("/users/search", headers=person.headers, params={"q": query, **more})
    assert answer.status_code == 200, answer.text
    return [found["id"] for found in answer.json()]


@pytest.fixture(params=[False, True], ids=["user", "superuser"])
async def seeker(request: pytest.FixtureRequest, people: People) -> Person:
    return await people.enter(is_superuser=request.param)


@pytest.mark.parametrize(
    "query", ["hopp", "HOPP", "race Ho", "ünal", "ÜNAL", "admiral", "ADMI", "al"]
)
async def test_search_matches_substrings_ignoring_case(
    client: AsyncClient, people: People, seeker: Person, query: str
) -> None:
    grace = await people.add(username="Admiral", full_name="Grace Hopper Ünal")
    await people.add(username="nobody", full_name=None)

    assert await search(client, seeker, query) == [grace.id]


@pytest.mark.parametrize(("form", "other"), [("NFC", "NFD"), ("NFD", "NFC")])
async def test_search_matches_nfc_and_nfd(
    client: AsyncClient, seeker: Person, form: Literal["NFC", "NFD"], other: Literal["NFC", "NFD"]
) -> None:
    name = {"full_name": normalize(form, "Zoë Ångström")}
    answer = await client.patch("/users/me", headers=seeker.headers, json=name)
    assert answer.json()["full_name"] == normalize("NFC", "Zoë Ångström")
    assert await search(client, seeker, normalize(other, "ångs")) == [seeker.id]


@pytest.mark.parametrize(
    "text", ["%", "_", "\\", "%%", "__", "\\%", "a%b", "a_b", "a\\b", "/", "'", '"']
)
async def test_search_escapes_wildcards(
    client: AsyncClient, people: People, seeker: Person, text: str
) -> None:
    exact = await people.add(full_name=f"x{text}y")
    await people.add(full_name="xaby xaxby")

    assert await search(client, seeker, f"x{text}y") == [exact.id]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("ann.lee@one.example", {"ann"}),
        ("ANN.LEE@ONE", {"ann"}),
        ("lee@", {"ann", "jo"}),
        ("lee@o", {"ann"}),
        ("lee@two.example", {"jo"}),
        ("lee@three", set()),
        ("lee@%", set()),
        ("lee@one_example", set()),
        ("e@one", {"ann"}),
        ("@one.example", {"ann", "bo"}),
        ("b_o@one.example", {"bo"}),
        ("see lee@one.example", set()),
        ("lee@one@two", {"two"}),
        ("lee@two@one", set()),
    ],
)
async def test_superuser_search_matches_all_of_an_email(
    client: AsyncClient, people: People, query: str, names: set[str]
) -> None:
    """The index covers only the part of an e-mail before the @."""
    superuser = await people.enter(is_superuser=True)
    here = {
        (await people.add(email=email, username=name, full_name=full_name)).id: name
        for name, email, full_name in (
            ("ann", "ann.lee@one.example", None),
            ("jo", "jo.lee@two.example", None),
            ("bo", "b_o@one.example", None),
            ("two", "c@four.example", "lee@one@two"),
        )
    }

    found = await search(client, superuser, query)
    expected = {"two", *names} if query.lower() in "lee@one@two" else names
    assert {here[one] for one in found} == expected


async def test_match_does_not_span_columns(
    client: AsyncClient, people: People, seeker: Person
) -> None:
    await people.add(email="a@start.example", username="middle", full_name="end")

    for over in ("examplemiddle", "middleend", "example middle", "middle end", "eend", "lee"):
        assert await search(client, seeker, over) == []


async def test_search_is_ordered_by_id_with_skip_and_limit(
    client: AsyncClient, people: People, seeker: Person
) -> None:
    found = [(await people.add(full_name=f"Match {number}")).id for number in range(25)]

    assert await search(client, seeker, "match") == found[:20]
    assert await search(client, seeker, "match", skip=20) == found[20:]
    assert await search(client, seeker, "match", skip=3, limit=4) == found[3:7]
    assert await search(client, seeker, "match", limit=100) == found
    assert await search(client, seeker, "match", skip=25) == []


async def test_no_match_returns_an_empty_list(client: AsyncClient, seeker: Person) -> None:
    assert await search(client, seeker, "zzzzzz") == []


async def test_query_needs_2_to_100_characters(client: AsyncClient, seeker: Person) -> None:
    for params in ({"q": ""}, {"q": "a"}, {"q": "a" * 101}, {"q": "a\nb"}, {}):
        answer = await client.get("/users/search", headers=seeker.headers, params=params)
        check_invalid(answer, "query.q")
    assert await search(client, seeker, "zz") == []
    assert await search(client, seeker, "z" * 100) == []
