"""The roles of members of an organization, and their permissions."""

import re
from collections.abc import Collection

PERMISSION = re.compile(r"[a-z][a-z0-9_-]{0,62}:[a-z][a-z0-9_-]{0,62}")
"""`<resource>:<action>`, for example `invoices:write`."""
ROLE_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
OWNER = "owner"
"""The role with every permission. Each organization has at least one owner."""


class OrganizationRoles:
    """The roles of an application: `Settings.ORGANIZATION_ROLES`.

    An owner has every permission, also those that are declared later::

        ORGANIZATION_ROLES = OrganizationRoles(
            admin={*OrganizationRoles.ADMIN, "invoices:read", "invoices:write"},
            member={*OrganizationRoles.MEMBER, "invoices:read"},
            accountant={"invoices:read", "invoices:write"},
        )

    Args:
        admin: the permissions of the role `admin`.
        member: the permissions of the role `member`.
        others: the permissions of further roles, by name.

    Attributes:
        names: the roles, the owner's first.

    Raises:
        ValueError: the name of a role or a permission has another form, or a role is `owner`.
    """

    ADMIN = frozenset(
        {
            "organization:write",
            "members:read",
            "members:write",
            "invitations:read",
            "invitations:write",
            "service_accounts:read",
            "service_accounts:write",
        }
    )
    """The permissions of the role `admin` on the routes of the library."""
    MEMBER = frozenset({"members:read"})
    """The permissions of the role `member` on the routes of the library."""

    def __init__(
        self,
        *,
        admin: Collection[str] = ADMIN,
        member: Collection[str] = MEMBER,
        **others: Collection[str],
    ) -> None:
        declared = {"admin": admin, "member": member, **others}
        for name, permissions in declared.items():
            _check(name, permissions)
        self._permissions = {name: frozenset(it) for name, it in declared.items()}
        self.names = (OWNER, *declared)

    def allows(self, role: str, permission: str) -> bool:
        """Return whether a role has a permission. A role that is not declared has none."""
        return role == OWNER or permission in self._permissions.get(role, ())

    def includes(self, role: str, other: str) -> bool:
        """Return whether a role has all permissions of another one, so that it may grant it."""
        if OWNER in (role, other):
            return role == OWNER
        return self._find(other) <= self._find(role)

    def _find(self, role: str) -> frozenset[str]:
        return self._permissions.get(role, frozenset())


def _check(name: str, permissions: Collection[str]) -> None:
    if name == OWNER:
        raise ValueError("ORGANIZATION_ROLES: `owner` has every permission and is not declared")
    if not ROLE_NAME.fullmatch(name):
        raise ValueError(
            f"ORGANIZATION_ROLES: the role {name!r} must be of 1 to 50 lower-case letters, digits "
            "and underscores, and begin with a letter"
        )
    if isinstance(permissions, str):
        raise ValueError(f"ORGANIZATION_ROLES: the permissions of {name} must be a set, not a text")  # noqa: TRY004
    for permission in permissions:
        if not PERMISSION.fullmatch(permission):
            raise ValueError(
                f"ORGANIZATION_ROLES: the permission {permission!r} of {name} must have the form "
                "`<resource>:<action>` in lower case, for example `invoices:write`"
            )
