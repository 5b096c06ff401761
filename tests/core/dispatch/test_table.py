import pytest

from app.core.dispatch.table import Table

Found = tuple[str, dict[str, str]] | None


@pytest.fixture
def table() -> Table[str]:
    table = Table[str]()
    for method, path in (
        ("GET", "/things/{thing_id}"),
        ("GET", "/things/new"),
        ("PUT", "/things/{other_name}"),
        ("GET", "/things/{thing_id}/parts/{part_id}"),
        ("GET", "/things/new/parts"),
        ("GET", "/{whatever}/parts"),
        ("GET", "/files/{path:path}"),
        ("GET", "/"),
    ):
        table.add(path, method, f"{method} {path}")
    table.add("/forms", "POST", None)
    table.leave_out("/admin")
    table.add("/admin/{it}", "GET", "never found")
    return table


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("GET", "/things/new", ("GET /things/new", {})),
        ("GET", "/things/7", ("GET /things/{thing_id}", {"thing_id": "7"})),
        ("PUT", "/things/7", ("PUT /things/{other_name}", {"other_name": "7"})),
        ("PUT", "/things/new", None),
        ("GET", "/things/7/parts/8", (
            "GET /things/{thing_id}/parts/{part_id}", {"thing_id": "7", "part_id": "8"},
        )),
        ("GET", "/things/new/parts", ("GET /things/new/parts", {})),
        ("GET", "/things/new/parts/8", (
            "GET /things/{thing_id}/parts/{part_id}", {"thing_id": "new", "part_id": "8"},
        )),
        ("GET", "/others/parts", ("GET /{whatever}/parts", {"whatever": "others"})),
        ("GET", "/things/parts", ("GET /things/{thing_id}", {"thing_id": "parts"})),
        ("GET", "/things/", None),
        ("GET", "/things", None),
        ("GET", "/files/a/b", None),
        ("GET", "/files/parts", None),
        ("GET", "/admin/7", None),
        ("GET", "/admin/parts", None),
        ("POST", "/forms", None),
        ("GET", "/", ("GET /", {})),
        ("GET", "", None),
    ],
)  # fmt: skip
def test_the_most_specific_is_found(
    table: Table[str], method: str, path: str, found: Found
) -> None:
    assert table.find(path, method) == found


def test_of_two_alike_the_first_holds() -> None:
    table = Table[str]()
    for value in ("first", "second"):
        table.add("/a", "GET", value)
        table.add("/{a}/b", "GET", value)

    assert table.find("/a", "GET") == ("first", {})
    assert table.find("/x/b", "GET") == ("first", {"a": "x"})
