"""The organizations with which the contract suite calls the routes of members."""

from collections.abc import Mapping

import asyncpg

UNDECLARED_ROLE = "undeclared"
"""A role without permissions."""


class SceneOrganizations:
    """The organization of the role `owner`, in which `member` has no permission, and another one
    that belongs to the role `other`.

    Attributes:
        slug: of the organization of `owner`; None until `add`.
    """

    def __init__(self, second: asyncpg.Connection) -> None:
        self._second = second
        self.slug: str | None = None

    async def add(self, users: Mapping[str, int], name: str) -> None:
        """Insert both organizations.

        Args:
            users: the ids of the users by role.
            name: of the organization of `owner`.
        """
        self.slug = await self._add_organization(users["owner"], name)
        await self._join(self.slug, users["member"], UNDECLARED_ROLE)
        await self._add_organization(users["other"], "Other")

    async def _add_organization(self, owner_id: int, name: str) -> str:
        slug = f"organization-{owner_id}"
        insert = "INSERT INTO organizations (slug, name) VALUES ($1, $2)"
        await self._second.execute(insert, slug, name)
        await self._join(slug, owner_id, "owner")
        return slug

    async def _join(self, slug: str, user_id: int, role: str) -> None:
        await self._second.execute(
            "INSERT INTO memberships (organization_id, user_id, role)"
            " SELECT id, $2, $3 FROM organizations WHERE slug = $1",
            slug,
            user_id,
            role,
        )
