"""The permission that a route declares."""

import pytest

from plinth.resources import MEMBER, USER, access
from plinth.resources.access import find_permission, get_access


async def read_invoices() -> None: ...


async def read_notes() -> None: ...


def test_permission_is_found_by_the_endpoint_of_the_request() -> None:
    endpoint = access(MEMBER, queries=2, permission="invoices:read")(read_invoices)
    declaration = get_access(endpoint)
    assert declaration
    assert declaration.permission == "invoices:read"
    assert find_permission({"endpoint": endpoint}) == "invoices:read"


def test_route_without_permission_has_none() -> None:
    endpoint = access(USER, queries=1)(read_notes)
    assert find_permission({"endpoint": endpoint}) is None
    assert find_permission({"endpoint": test_route_without_permission_has_none}) is None
    assert find_permission({}) is None


@pytest.mark.parametrize(
    "permission", ["invoices", "Invoices:write", "invoices:", "invoices:write ", "a:b:c", "*:*", ""]
)
def test_permission_of_another_form_is_refused(permission: str) -> None:
    with pytest.raises(ValueError, match=r"permission=.* must have the form"):
        access(MEMBER, queries=1, permission=permission)
