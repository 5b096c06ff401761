"""Missing or invalid parameters are refused, and never cause a 500."""

from collections.abc import Iterator

import pytest

from tests.support.superuser import Superuser

TABLES = ("user", "session", "nothing")
KEYS = (None, "", "x", "9" * 19, "9" * 40, "\0", "\ud800", "00000000-0000-0000-0000-000000000000")
NAMES = (None, "nothing", "deactivate", "end")
LISTS = (
    {"sort": "x"}, {"sort": "id__sideways"}, {"sort": "__asc"}, {"page": "9" * 30}, {"page": "0"},
    {"page_size": "9" * 30}, {"page_size": "-1"}, {"filter": "id__eq__x"}, {"filter": "("},
    {"filter": "id__eq__" + "9" * 30}, {"filter": "a" * 9000}, {"q": "\0"}, {"q": "%" * 9000},
    {"filter": "created_at__gt__x"}, {"filter": "created_at__gt__9999999"}, {"columns": "x"},
    {"filter": "id__in__" + "1," * 900}, {"filter": "username__contains__\0"},
)  # fmt: skip


def _combined() -> Iterator[tuple[str, str, dict[str, str]]]:
    for table in TABLES:
        for pk in KEYS:
            given = {} if pk is None else {"pk": pk}
            for path in ("detail", "edit"):
                yield "GET", f"/{table}/{path}", given
            for name in NAMES:
                named = {} if name is None else {"name": name}
                yield "POST", f"/_api/{table}/row-action", given | named
                yield (
                    "POST",
                    f"/_api/{table}/action",
                    ({} if pk is None else {"pks": pk}) | named,
                )
            for path in ("inline-edit", "inline-edit/row", "relation-lookup"):
                yield "GET", f"/_api/{table}/{path}", given | {"field": "x"}
        for query in LISTS:
            yield "GET", f"/{table}/list", query
            yield "POST", f"/_api/{table}/action", {"name": "x", "_list_query": str(query)}


@pytest.mark.parametrize("table", TABLES)
async def test_missing_or_invalid_parameters_never_cause_a_500(root: Superuser, table: str) -> None:
    asked, failed = 0, []
    for method, path, query in _combined():
        if f"/{table}/" not in path:
            continue
        asked += 1
        target = {name: value.encode("utf-8", "surrogatepass") for name, value in query.items()}
        answer = await root.client.request(
            method,
            f"/admin{path}",
            params=target,
            headers={"X-CSRFToken": root.csrf},
        )
        if answer.status_code >= 500:
            failed.append((method, path, {name: value[:40] for name, value in query.items()}))
    assert not failed, f"{len(failed)} of {asked}: {failed[:5]}"
