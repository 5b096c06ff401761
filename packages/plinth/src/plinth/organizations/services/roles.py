"""The rules of roles: who has a permission, and who may grant or remove a role."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.queries.principal import Principal
from plinth.accounts.services import authentication
from plinth.config import settings
from plinth.config.organization_roles import OWNER
from plinth.errors import NotFound, PermissionDenied
from plinth.organizations import queries
from plinth.organizations.models import Organization
from plinth.organizations.queries.member import MemberPrincipal
from plinth.organizations.queries.member_key import ApiKeyMember
from plinth.organizations.queries.organization import MemberState


class OrganizationNotFound(NotFound):
    code = "organization_not_found"
    detail = "Organization not found"


class MemberNotFound(NotFound):
    code = "member_not_found"
    detail = "Member not found"


class PermissionMissing(PermissionDenied):
    code = "permission_denied"
    detail = "Your role in this organization does not allow this"


class RoleAboveOwn(PermissionDenied):
    code = "role_above_own"
    detail = "This role has permissions that yours lacks, so you can neither grant nor remove it"


class HasRole(Protocol):
    @property
    def role(self) -> str: ...


@dataclass(frozen=True, slots=True)
class LockedOrganization:
    """
    Attributes:
        organization: its row is locked.
        members: the caller and the given other members, by user id.
    """

    organization: Organization
    members: Mapping[int, MemberState]

    def get_member(self, user_id: int) -> MemberState:
        """
        Raises:
            MemberNotFound
        """
        if user_id not in self.members:
            raise MemberNotFound
        return self.members[user_id]


async def lock_as(
    db: AsyncSession, member: MemberPrincipal, permission: str | None, *others: int
) -> LockedOrganization:
    """Lock the organization, and check the caller's permission again under the lock.

    The caller may have been removed or demoted while this request waited for it.

    Args:
        permission: None if every member may do it.
        others: the ids of other members whose roles the caller needs.

    Raises:
        OrganizationNotFound: the organization was deleted, or the caller is no longer a member.
        PermissionMissing
    """
    organization = await queries.organization.lock(db, member.organization_id)
    user_ids = {member.id, *others}
    members = await queries.organization.get_states(db, member.organization_id, user_ids)
    if organization is None or member.id not in members:
        raise OrganizationNotFound
    if permission is not None:
        require_permission(members[member.id], permission)
    return LockedOrganization(organization, members)


def require_permission(member: HasRole, permission: str) -> None:
    """
    Raises:
        PermissionMissing
    """
    if not has_permission(member, permission):
        raise PermissionMissing


def has_permission(member: HasRole, permission: str) -> bool:
    """Return whether a member has a permission by the role, and by the scopes of the API key of the
    request if there is one."""
    if isinstance(member, ApiKeyMember) and permission not in member.plinth_key_scopes:
        return False
    return settings.ORGANIZATION_ROLES.allows(member.role, permission)


def require_role(caller: HasRole, *roles: str) -> None:
    """
    Args:
        roles: the roles that the caller grants or removes.

    Raises:
        RoleAboveOwn
    """
    if not all(settings.ORGANIZATION_ROLES.includes(caller.role, role) for role in roles):
        raise RoleAboveOwn


async def require_recent_for_owner(db: AsyncSession, caller: Principal, *roles: str) -> None:
    """Require a recent authentication to grant or remove the role `owner`, as for a transfer.

    Raises:
        Impersonating
        StepUpRequired
    """
    if OWNER not in roles:
        return
    authentication.refuse_impersonation()
    if not authentication.is_recent(caller.authenticated_at):
        raise await authentication.build_step_up(db, caller.id)
