"""Values at and beyond the edge of each type, sent to a resource that `plinth new` wrote: what is
accepted is read back the same, everything else is a 422, never a 500.

Not collected by itself: test_extremes.py runs it in a checkout that has the resource `extreme`.
"""

import json
from typing import Any

import pytest
from httpx2 import AsyncClient

from plinth.testing.people import People, Person

PATH = "/extremes/"
HUGE = "9" * 5000  # Python refuses numbers with this many digits
DEEP = '{"a":' + "[" * 20_000 + "]" * 20_000 + "}"
UNREADABLE = (HUGE, f'{{"a": {HUGE}}}', DEEP)  # limit of Python's JSON parser
# The body of a POST as text, because httpx2 refuses to write some of these.
ACCEPTED = {
    "letters": ['"é"', '"\\u0065\\u0301"', '"😀"', '"%_\\\\"', '"\'; DROP TABLE users"', '" "'],
    "prose": ['"a\\r\\n\\tb"', '""', '"\\u202e"'],
    "number": ["0", "-0", "9007199254740991", "-9007199254740991", "1.0"],
    "ratio": ["0", "-0.0", "5e-324", "1.7976931348623157e308", "1e-400", "9007199254740993"],
    "price": [
        '"0"',
        '"-0.00"',
        "0",
        "1e1",
        '"9999999999.99"',
        '"-9999999999.99"',
        '"1E+9"',
        '" 1 "',
    ],
    "share": ['"0.0000000001"', '"1E-10"', '"9999999999.9999999999"'],
    "flag": ["true", "false"],
    "day": ['"0001-01-01"', '"9999-12-31"', '"2024-02-29"'],
    "moment": [
        '"0001-01-01T00:00:00.000001Z"',
        '"9999-12-31T23:59:59.999998Z"',
        '"2026-03-29T02:30:00+01:00"',
        '"2026-01-01T00:00:00.1234567Z"',
    ],
    "key": ['"00000000-0000-0000-0000-000000000000"', '"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"'],
    "extra": [
        "{}",
        '{"": null}',
        '{"a": 1e308, "b": -0.0, "c": 12345678901234567890}',
        '{"a": "\\u2028"}',
    ],
}
REFUSED = {
    "letters": ['"\\u0000"', '"\\ud800"', '"\\u2028"', '"a\\nb"', f'"{"x" * 51}"', "[]", "1"],
    "prose": ['"\\u0000"', '"\\udfff"', '"\\u0007"', f'"{"x" * 100_001}"'],
    "number": [
        "9007199254740992",
        "1e400",
        "1e30",
        "-1e400",
        "NaN",
        "Infinity",
        HUGE,
        "true",
        '"1"',
        "1.5",
    ],
    "ratio": ["NaN", "Infinity", "-Infinity", "1e400", HUGE, "true", '"1"', "1" + "0" * 400],
    "price": [
        '"NaN"',
        '"sNaN"',
        '"Infinity"',
        "NaN",
        "1e400",
        HUGE,
        '"1E+999999999"',
        '"1E-999999999"',
        '"10000000000"',
        '"0.001"',
        "true",
        '"0x1"',
        f'"{"1" * 100_000}"',
    ],
    "share": ['"0.00000000001"', '"10000000000"'],
    "flag": ["1", "0", '"true"'],
    "day": [
        '"0000-01-01"',
        '"10000-01-01"',
        '"2023-02-29"',
        '"-0001-01-01"',
        "0",
        '"infinity"',
        '"2026-01-01T00:00:00Z"',
        '"today"',
    ],
    "moment": [
        '"0001-01-01T00:00:00Z"',  # asyncpg represents -infinity and infinity by these two
        '"9999-12-31T23:59:59.999999Z"',
        '"0001-01-01T00:00:00+14:00"',
        '"9999-12-31T23:59:59-12:00"',
        '"2026-01-01T25:00:00Z"',
        '"2026-01-01T00:00:00"',
        '"infinity"',
        "0",
        "1e400",
        '"2026-06-30T23:59:60Z"',
    ],
    "key": ['"x"', "0", '"00000000-0000-0000-0000-00000000000g"'],
    "extra": [
        '{"a": "\\u0000"}',
        '{"\\u0000": 1}',
        '{"a": "\\ud800"}',
        '{"a": NaN}',
        '{"a": 1e400}',
        "[]",
        '"x"',
        f'{{"a": {HUGE}}}',
        '{"a":' * 25 + "1" + "}" * 25,
        DEEP,
    ],
}
FILTERS = {
    "letters": ["\x00", "a\nb", "x" * 51],
    "number": ["9007199254740992", "NaN", "1.5", "9" * 5000, ""],
    "number__gte": ["9007199254740992", "nan", "1e400", ""],
    "ratio__gte": ["nan", "inf", "-Infinity", "1e400", "x", "9" * 5000],
    "price": ["NaN", "sNaN", "inf", "1E+999999999", "1E-999999999", "9" * 5000, "x"],
    "price__lt": ["NaN", "1E+131073", "1E-16384", "1_0x"],
    "flag": ["2", "", "null"],
    "day__gt": ["0000-01-01", "10000-01-01", "infinity", "0", ""],
    "moment__lte": ["infinity", "2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00", "0", ""],
    "key": ["x", "", "0" * 33],
    "limit": ["0", "-1", "9" * 5000, "NaN"],
    "skip": ["-1", "9" * 5000, "1e3"],
    "cursor": ["\x00", "x" * 5000, "é"],
    "q": ["\x00", "x", "x" * 101],
    "sort": ["extra", "letters,", "\x00", "owner_id", "prose"],
}


def as_javascript_reads(text: str) -> Any:
    """jsonb stores 1e308 as 309 digits, which JavaScript reads as the same number."""
    return json.loads(text, parse_int=float)


@pytest.fixture
async def owner(people: People) -> Person:
    return await people.enter()


async def post(client: AsyncClient, owner: Person, field: str, value: str) -> Any:
    return await client.post(
        PATH,
        headers=owner.headers | {"Content-Type": "application/json"},
        content=f'{{"{field}": {value}}}',
    )


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, some in ACCEPTED.items() for v in some])
async def test_extreme_value_is_read_back_unchanged(
    client: AsyncClient, owner: Person, field: str, value: str
) -> None:
    created = await post(client, owner, field, value)
    assert created.status_code == 201, created.text
    path = f"{PATH}{created.json()['id']}"
    read = (await client.get(path, headers=owner.headers)).text
    assert as_javascript_reads(read) == as_javascript_reads(created.text)
    listed = (await client.get(PATH, headers=owner.headers)).text
    assert as_javascript_reads(listed)["items"] == [as_javascript_reads(read)]


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, some in REFUSED.items() for v in some])
async def test_a_value_out_of_range_is_refused(
    client: AsyncClient, owner: Person, field: str, value: str
) -> None:
    refused = await post(client, owner, field, value)
    assert refused.status_code == (400 if value in UNREADABLE else 422), refused.text
    assert (await client.get(PATH, headers=owner.headers)).json()["items"] == []


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, some in FILTERS.items() for v in some])
async def test_a_parameter_out_of_range_is_refused(
    client: AsyncClient, owner: Person, name: str, value: str
) -> None:
    await post(client, owner, "number", "1")
    refused = await client.get(PATH, headers=owner.headers, params={name: value})
    assert refused.status_code == 422, refused.text


async def test_extreme_numbers_can_be_used_in_filters(client: AsyncClient, owner: Person) -> None:
    for field, some in ACCEPTED.items():
        for value in some if field not in ("prose", "extra") else ():
            sent = str(json.loads(value))
            for name in (field, f"{field}__gte"):
                response = await client.get(PATH, headers=owner.headers, params={name: sent})
                assert response.status_code in (200, 422), (name, sent, response.text)
