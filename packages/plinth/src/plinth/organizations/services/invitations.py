"""Invite people by mail, and accept an invitation."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.models import User
from plinth.accounts.services import accounts, outbox
from plinth.config import settings
from plinth.errors import Conflict, NotFound, PermissionDenied, Rejected
from plinth.organizations import queries
from plinth.organizations.models import Invitation, Organization
from plinth.organizations.queries.member import MemberPrincipal
from plinth.organizations.services.limits import limit_invitations
from plinth.organizations.services.members import record
from plinth.organizations.services.roles import lock_as, require_recent_for_owner, require_role
from plinth.security.addresses import canonical

WRITE = "invitations:write"
MAIL, PAGE = "organization_invitation", "accept-invitation"
TOKEN_BYTES = 32


class InvitationNotFound(NotFound):
    code = "invitation_not_found"
    detail = "Invitation not found"


class AlreadyMember(Conflict):
    code = "already_member"
    detail = "This user is a member already"


class InvalidInvitation(Rejected):
    code = "invalid_invitation"
    detail = "This invitation is unknown, accepted, revoked or replaced by a newer one"


class InvitationExpired(Rejected):
    code = "invitation_expired"
    detail = "This invitation has expired: ask for a new one"


class InvitedOtherAddress(PermissionDenied):
    code = "invited_other_address"
    detail = "This invitation was sent to another e-mail address than that of your account"


class InviterLostPermission(Rejected):
    code = "inviter_lost_permission"
    detail = "The member who invited you may no longer do so: ask for a new invitation"


class Unverified(PermissionDenied):
    code = "unverified"
    detail = "Confirm your e-mail address first"


async def list_invitations(
    db: AsyncSession, member: MemberPrincipal, *, skip: int, limit: int
) -> Sequence[Invitation]:
    """Return the invitations that can still be accepted, newest first."""
    return await queries.invitation.list_of(db, member.organization_id, skip=skip, limit=limit)


async def invite(db: AsyncSession, member: MemberPrincipal, email: str, role: str) -> Invitation:
    """Mail an invitation. It replaces an earlier one to the same address.

    Raises:
        AlreadyMember
        RateLimited
        RoleAboveOwn
        Unverified: the inviter has no verified address.
        PlinthError: as `lock_as` and `require_recent_for_owner`.
    """
    if not member.is_verified:
        raise Unverified
    await limit_invitations(member.id, member.organization_id)
    locked = await lock_as(db, member, WRITE)
    require_role(locked.members[member.id], role)
    await require_recent_for_owner(db, member, role)
    key = canonical(email)
    if await queries.organization.has_member_with(db, member.organization_id, key):
        raise AlreadyMember
    await queries.invitation.purge(db, member.organization_id)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    invitation = await queries.invitation.store(
        db,
        organization_id=member.organization_id,
        email=email,
        email_canonical=key,
        role=role,
        token_hash=_hash(token),
        inviter_id=member.id,
        lifetime=timedelta(days=settings.INVITATION_DAYS),
    )
    await _send(db, member, locked.organization, invitation, token)
    reason = f"invitation {invitation.id}, role {role}"
    record(db, "invitation.created", locked.organization, None, reason)
    return invitation


async def revoke(db: AsyncSession, member: MemberPrincipal, invitation_id: int) -> None:
    """
    Raises:
        InvitationNotFound
        PlinthError: as `lock_as`.
    """
    locked = await lock_as(db, member, WRITE)
    if not await queries.invitation.remove(db, member.organization_id, invitation_id):
        raise InvitationNotFound
    record(db, "invitation.revoked", locked.organization, None, f"invitation {invitation_id}")


async def accept(
    db: AsyncSession, user_id: int, session_id: UUID, token: str
) -> tuple[Organization, str]:
    """Join an organization with the token of an invitation, which can be used once.

    The token proves access to the mail, not that the account belongs to its reader. So the account
    must have the invited address, and have verified it. A refused invitation stays valid.

    Returns:
        The organization, and the user's role in it.

    Raises:
        AlreadyMember
        InvalidInvitation
        InvitationExpired
        InvitedOtherAddress
        InviterLostPermission: the inviter is no longer a member who may invite with this role.
        Unauthenticated: the session has ended.
        Unverified
    """
    # The lock order is: the user, the organization, then its members and invitations.
    user = await accounts.lock_caller(db, user_id, session_id)
    organization_id = await queries.invitation.find_organization(db, _hash(token))
    if organization_id is None:
        raise InvalidInvitation
    organization = await queries.organization.lock(db, organization_id)
    used = await queries.invitation.use(db, _hash(token))
    if organization is None or used is None:
        raise InvalidInvitation
    invitation, is_valid = used
    if not is_valid:
        raise InvitationExpired
    _require_address(user, invitation)
    await _require_inviter(db, invitation, user_id)
    await queries.organization.add_member(db, organization_id, user_id, invitation.role)
    reason = f"invitation {invitation.id} of user {invitation.inviter_id}, role {invitation.role}"
    record(db, "invitation.accepted", organization, user_id, reason)
    return organization, invitation.role


def _require_address(user: User, invitation: Invitation) -> None:
    if canonical(user.email) != invitation.email_canonical:
        raise InvitedOtherAddress
    if not user.is_verified:
        raise Unverified


async def _require_inviter(db: AsyncSession, invitation: Invitation, user_id: int) -> None:
    roles = settings.ORGANIZATION_ROLES
    user_ids = {invitation.inviter_id, user_id}
    states = await queries.organization.get_states(db, invitation.organization_id, user_ids)
    if user_id in states:
        raise AlreadyMember
    inviter = states.get(invitation.inviter_id)
    may_invite = (
        inviter is not None
        and inviter.is_active
        and roles.allows(inviter.role, WRITE)
        and roles.includes(inviter.role, invitation.role)
        and invitation.role in roles.names
    )
    if not may_invite:
        raise InviterLostPermission


async def _send(
    db: AsyncSession,
    member: MemberPrincipal,
    organization: Organization,
    invitation: Invitation,
    token: str,
) -> None:
    await outbox.enqueue(
        db,
        MAIL,
        invitation.email,
        organization=organization.name,
        inviter=member.username,
        role=invitation.role,
        page=PAGE,
        token=token,
        expires_at=int(invitation.expires_at.timestamp()),
    )


def _hash(token: str) -> bytes:
    # 256 random bits cannot be guessed, so a fast hash is enough.
    return hashlib.sha256(token.encode()).digest()
