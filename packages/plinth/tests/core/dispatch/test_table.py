"""The table finds the same route as FastAPI's router: the first matching one."""

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Match

from plinth.http.dispatch import Table

Found = tuple[str, dict[str, str]] | None
METHODS = ("GET", "PUT")


def make_table(*routes: tuple[str, str]) -> Table[str]:
    table = Table[str]()
    for method, path in routes:
        table.add(path, [method], f"{method} {path}")
    return table


@pytest.fixture
def table() -> Table[str]:
    table = make_table(
        ("GET", "/things/new"),
        ("GET", "/things/{thing_id}"),
        ("GET", "/things/late"),
        ("PUT", "/things/{other_name}"),
        ("GET", "/things/{thing_id}/parts/{part_id}"),
        ("GET", "/{whatever}/parts"),
        ("GET", "/files/first"),
        ("GET", "/files/{path:path}"),
        ("GET", "/files/second"),
        ("GET", "/"),
        ("GET", "/admin/first"),
    )
    table.add("/forms", ["POST"], None)
    table.add("/forms", ["POST"], "shadowed")
    table.add("/any", None, "any method")
    table.add_mount("/admin")
    table.add("/admin/{it}", ["GET"], "never found")
    table.freeze()
    return table


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("GET", "/things/new", ("GET /things/new", {})),
        ("GET", "/things/7", ("GET /things/{thing_id}", {"thing_id": "7"})),
        ("GET", "/things/late", ("GET /things/{thing_id}", {"thing_id": "late"})),
        ("PUT", "/things/7", ("PUT /things/{other_name}", {"other_name": "7"})),
        ("PUT", "/things/new", ("PUT /things/{other_name}", {"other_name": "new"})),
        ("GET", "/things/7/parts/8", (
            "GET /things/{thing_id}/parts/{part_id}", {"thing_id": "7", "part_id": "8"},
        )),
        ("GET", "/others/parts", ("GET /{whatever}/parts", {"whatever": "others"})),
        ("GET", "/things/parts", ("GET /things/{thing_id}", {"thing_id": "parts"})),
        ("GET", "/things/", None),
        ("GET", "/things", None),
        ("GET", "/files/first", ("GET /files/first", {})),
        ("GET", "/files/second", None),
        ("GET", "/files/a/b", None),
        ("GET", "/files/parts", ("GET /{whatever}/parts", {"whatever": "files"})),
        ("GET", "/admin/first", ("GET /admin/first", {})),
        ("GET", "/admin/7", None),
        ("POST", "/forms", None),
        ("BREW", "/any", ("any method", {})),
        ("GET", "/", ("GET /", {})),
        ("GET", "", None),
        ("GET", "/things/new\n", None),  # FastAPI finds /things/new
        ("GET", "/things/7\n", None),
    ],
)  # fmt: skip
def test_lookup_finds_the_first_declared_route(
    table: Table[str], method: str, path: str, found: Found
) -> None:
    assert table.find(path, method) == found


def test_path_parameter_precedes_routes_declared_after_it() -> None:
    """Without other parameters: the lookup then follows a single path through the table."""
    table = make_table(
        ("GET", "/files/first"), ("GET", "/files/{path:path}"), ("GET", "/files/second")
    )
    table.add_mount("/static")
    table.add("/static/page", ["GET"], "GET /static/page")
    table.freeze()
    assert table.find("/files/first", "GET") == ("GET /files/first", {})
    assert table.find("/files/second", "GET") is None
    assert table.find("/static/page", "GET") is None


SEGMENTS = st.sampled_from(["a", "b", "", "{x}", "{y}", "{z:path}", "{n:int}", "a{w}"])
ROUTES = st.tuples(st.sampled_from(METHODS), st.lists(SEGMENTS, min_size=1, max_size=3))
ASKED = st.lists(
    st.sampled_from(["a", "b", "", "1", "ax", "{x}", "a\n", "\n"]), min_size=1, max_size=4
)


@given(st.lists(ROUTES, max_size=7), st.sampled_from(METHODS), ASKED)
def test_lookup_finds_the_route_of_fastapi_or_none(
    declared: list[tuple[str, list[str]]], method: str, asked: list[str]
) -> None:
    app, table = FastAPI(openapi_url=None), Table[int]()
    for number, (its_method, segments) in enumerate(declared):
        path = "/" + "/".join(segments)
        if any(path.count(name) > 1 for name in ("{x}", "{y}", "{z:path}", "{n:int}", "{w}")):
            continue
        app.router.add_api_route(path, lambda: None, methods=[its_method], name=str(number))
        table.add(path, [its_method], number)
    table.freeze()
    path = "/" + "/".join(asked)
    theirs: tuple[int, dict[str, str]] | None = None
    for route in app.router.routes:
        scope = {"type": "http", "path": path, "method": method, "headers": []}
        match, child = route.matches(scope)
        if match is Match.FULL:
            theirs = (int(route.name), child["path_params"])  # type: ignore[attr-defined]
            break
    assert table.find(path, method) in (theirs, None)
    if not path.endswith("\n") and not any(
        ":" in part or "a{" in part for _, parts in declared for part in parts
    ):
        assert table.find(path, method) == theirs
