"""Authenticate, list, change and remove the members of an organization."""

from collections.abc import Sequence

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.models import User
from plinth.accounts.services import audit, sessions
from plinth.config import settings
from plinth.config.organization_roles import OWNER
from plinth.db.dataloader import DataLoader
from plinth.errors import Conflict, InvalidField
from plinth.organizations import queries
from plinth.organizations.models import Membership, Organization
from plinth.organizations.queries.member import MemberKey, MemberPrincipal
from plinth.organizations.services.roles import (
    MemberNotFound,
    OrganizationNotFound,
    lock_as,
    require_recent_for_owner,
    require_role,
)
from plinth.security.tokens import read_access_token

WRITE = "members:write"
TRANSFER = "organization:transfer"
FORMER_OWNER = "admin"
"""The role of an owner after a transfer."""

MemberRow = Row[Membership, User]


class InactiveMember(Conflict):
    code = "inactive_member"
    detail = "An inactive user cannot become an owner"


async def authenticate(
    members: DataLoader[MemberKey, MemberPrincipal], access_token: str, slug: str
) -> MemberPrincipal:
    """Return the session of an access token, with its user. `organization_id` is None if the user
    is no member of the organization.

    Raises:
        PlinthError: as `sessions.authenticate`.
    """
    token = read_access_token(access_token)
    return sessions.check(await members.get((token.session_id, slug)), token)


async def list_members(
    db: AsyncSession, member: MemberPrincipal, *, skip: int, limit: int
) -> Sequence[MemberRow]:
    """Return the members in the order in which they joined."""
    return await queries.organization.list_members(
        db, member.organization_id, skip=skip, limit=limit
    )


async def add_member(db: AsyncSession, organization_id: int, user_id: int, role: str) -> None:
    """Make a user a member without an invitation, for example at a sign-in by the company's
    identity provider.

    Raises:
        Conflict: `already_member`.
        OrganizationNotFound
        ValueError: the role is not declared in `ORGANIZATION_ROLES`.
    """
    if role not in settings.ORGANIZATION_ROLES.names:
        raise ValueError(f"{role!r} is no role of Settings.ORGANIZATION_ROLES")
    organization = await queries.organization.lock(db, organization_id)
    if organization is None:
        raise OrganizationNotFound
    await queries.organization.add_member(db, organization_id, user_id, role)
    record(db, "membership.added", organization, user_id, f"role {role}")


async def change_role(
    db: AsyncSession, member: MemberPrincipal, user_id: int, role: str
) -> MemberRow:
    """Change the role of a member. It applies to the member's very next request.

    Raises:
        Conflict: `last_owner`.
        InactiveMember
        MemberNotFound
        RoleAboveOwn: of the old role, or of the new one.
        PlinthError: as `lock_as` and `require_recent_for_owner`.
    """
    locked = await lock_as(db, member, WRITE, user_id)
    target = locked.get_member(user_id)
    require_role(locked.members[member.id], target.role, role)
    await require_recent_for_owner(db, member, target.role, role)
    if role == OWNER and not target.is_active:
        raise InactiveMember
    if role != target.role:
        await queries.organization.set_role(db, member.organization_id, user_id, role)
        change = f"role {target.role} to {role}"
        record(db, "membership.changed", locked.organization, user_id, change)
    row = await queries.organization.get_member(db, member.organization_id, user_id)
    if row is None:  # the user was deleted: nothing else removes a member during the lock
        raise MemberNotFound
    return row


async def remove_member(db: AsyncSession, member: MemberPrincipal, user_id: int) -> None:
    """End a membership. It applies to the user's very next request.

    Raises:
        Conflict: `last_owner`.
        MemberNotFound
        RoleAboveOwn
        PlinthError: as `lock_as` and `require_recent_for_owner`.
    """
    locked = await lock_as(db, member, WRITE, user_id)
    target = locked.get_member(user_id)
    require_role(locked.members[member.id], target.role)
    await require_recent_for_owner(db, member, target.role)
    await queries.organization.remove_member(db, member.organization_id, user_id)
    record(db, "membership.removed", locked.organization, user_id, f"role {target.role}")


async def leave(db: AsyncSession, member: MemberPrincipal) -> None:
    """End the membership of the caller.

    Raises:
        Conflict: `last_owner`.
        PlinthError: as `lock_as`.
    """
    locked = await lock_as(db, member, None)
    await queries.organization.remove_member(db, member.organization_id, member.id)
    role = locked.members[member.id].role
    record(db, "membership.left", locked.organization, member.id, f"role {role}")


async def transfer(db: AsyncSession, member: MemberPrincipal, user_id: int) -> Organization:
    """Make another member an owner in place of the caller, who becomes an admin.

    Raises:
        InactiveMember
        InvalidField: the member is the caller.
        MemberNotFound
        RoleAboveOwn: the caller is no owner.
        PlinthError: as `lock_as`.
    """
    if user_id == member.id:
        raise InvalidField("user_id", "must be another member", kind="same_member")
    locked = await lock_as(db, member, TRANSFER, user_id)
    target = locked.get_member(user_id)
    require_role(locked.members[member.id], OWNER)
    if not target.is_active:
        raise InactiveMember
    await queries.organization.set_role(db, member.organization_id, user_id, OWNER)
    await queries.organization.set_role(db, member.organization_id, member.id, FORMER_OWNER)
    record(db, "organization.transferred", locked.organization, user_id, f"from user {member.id}")
    return locked.organization


def record(
    db: AsyncSession, event: str, organization: Organization, subject_id: int | None, reason: str
) -> None:
    """Write an event of an organization to the audit log.

    Args:
        reason: without personal values, since it cannot be erased.
    """
    reason = f"organization {organization.id} ({organization.slug}): {reason}"
    audit.record(db, event, subject_id=subject_id, reason=reason)
