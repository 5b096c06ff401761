"""The roles of organizations and their permissions."""

from typing import Any

import pytest

from plinth.config import OrganizationRoles

ROLES = OrganizationRoles(
    admin={*OrganizationRoles.ADMIN, "invoices:read", "invoices:write"},
    member={"invoices:read"},
    accountant={"invoices:read", "invoices:write"},
)


def test_owner_has_every_permission() -> None:
    assert ROLES.names == ("owner", "admin", "member", "accountant")
    assert ROLES.allows("owner", "invoices:write")
    assert ROLES.allows("owner", "declared:later")


def test_role_has_its_declared_permissions() -> None:
    assert ROLES.allows("member", "invoices:read")
    assert not ROLES.allows("member", "invoices:write")
    assert ROLES.allows("accountant", "invoices:write")


def test_undeclared_role_has_no_permission() -> None:
    assert not ROLES.allows("removed", "invoices:read")
    assert ROLES.includes("member", "removed")
    assert not ROLES.includes("removed", "member")


@pytest.mark.parametrize(
    ("role", "other", "expected"),
    [
        ("owner", "owner", True),
        ("owner", "admin", True),
        ("admin", "owner", False),
        ("admin", "admin", True),
        ("admin", "accountant", True),
        ("accountant", "member", True),
        ("accountant", "admin", False),
        ("member", "accountant", False),
        ("removed", "owner", False),
    ],
)
def test_role_includes_those_with_fewer_permissions(role: str, other: str, expected: bool) -> None:
    assert ROLES.includes(role, other) is expected


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"owner": {"invoices:read"}}, "`owner` has every permission"),
        ({"Accountant": {"invoices:read"}}, "lower-case letters"),
        ({"accountant": {"invoices"}}, "<resource>:<action>"),
        ({"accountant": "invoices:read"}, "must be a set"),
    ],
)
def test_wrong_declaration_is_refused(declared: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OrganizationRoles(**declared)
