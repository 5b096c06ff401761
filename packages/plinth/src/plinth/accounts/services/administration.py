"""Change, delete and erase the accounts of others, or act as their user. At least one active
superuser always remains.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.models import User
from plinth.accounts.queries.principal import Principal
from plinth.accounts.schemas.user import UserAdminUpdate
from plinth.accounts.services import accounts, audit, credentials, sessions, throttle
from plinth.accounts.services.sessions import CannotImpersonate, SignedIn
from plinth.accounts.user_columns import LIBRARY
from plinth.config import settings
from plinth.db.database import after_commit
from plinth.errors import PermissionDenied, Rejected
from plinth.request.client import Client
from plinth.security.addresses import Plan, canonical, plan_keys

REVOKING_FIELDS = ("is_active", "is_superuser")


class CannotDeleteYourself(Rejected):
    code = "cannot_delete_yourself"
    detail = "Cannot delete yourself"


class LastSuperuser(Rejected):
    code = "last_superuser"
    detail = "The last superuser cannot be demoted or deactivated"


class ImpersonationDisabled(PermissionDenied):
    code = "impersonation_disabled"
    detail = "Impersonation is disabled: set IMPERSONATION_MINUTES"


@dataclass(frozen=True, slots=True)
class ErasureResult:
    """
    Attributes:
        account: whether an account was deleted.
        sessions: the number of deleted sessions.
        mails: the number of deleted mails.
        events: the number of events whose IP address and user agent were erased.
    """

    account: bool
    sessions: int
    mails: int
    events: int


async def change_user(db: AsyncSession, user_id: int, changes: UserAdminUpdate, *, by: int) -> User:
    """Apply the fields that were sent. A change of role or active flag revokes the sessions.

    Args:
        by: the id of the acting superuser.

    Raises:
        PermissionDenied: the acting user is no longer an active superuser.
        LastSuperuser
        UserNotFound
        Rejected: the username is taken.
    """
    superusers = await _lock_superusers(db, by)
    user = await accounts.get_locked(db, user_id)
    old = {name: getattr(user, name) for name in changes.model_fields_set}
    await queries.user.update(db, db_obj=user, obj_in=changes)
    if superusers == {user_id} and not (user.is_superuser and user.is_active):
        raise LastSuperuser
    changed = sorted(name for name, value in old.items() if getattr(user, name) != value)
    if any(name in REVOKING_FIELDS for name in changed):
        await queries.session.revoke_all(db, user_id, "role or active flag changed")
    if changed:
        reason = ", ".join(_describe_change(name, getattr(user, name)) for name in changed)
        audit.record(db, "user.changed", subject_id=user_id, reason=reason)
    return user


async def impersonate(
    db: AsyncSession, admin: Principal, user_id: int, reason: str, client: Client
) -> SignedIn:
    """Start a session of the user in which a superuser acts. The user is notified.

    Args:
        admin: a superuser, in a session of their own that authenticated recently.
        reason: for the audit log and the notice.

    Raises:
        CannotImpersonate: the user is a superuser or inactive, or has a second factor and the
            superuser's session was authenticated without one.
        ImpersonationDisabled
        Unauthenticated: the superuser's session has ended.
        UserNotFound
    """
    if not settings.IMPERSONATION_MINUTES:
        raise ImpersonationDisabled
    await accounts.lock_caller(db, admin.id, admin.session_id, recent=True)
    user = await accounts.get_locked(db, user_id)
    if user.is_superuser or not user.is_active:
        raise CannotImpersonate("Only active users who are no superusers can be impersonated")
    lifetime = timedelta(minutes=settings.IMPERSONATION_MINUTES)
    signed_in = await sessions.complete_sign_in(
        db, user, ["impersonation"], client, lifetime=lifetime, acting=admin
    )
    session_id = signed_in.token.session_id
    audit.record(
        db, "impersonation.started", subject_id=user_id, session_id=session_id, reason=reason
    )
    minutes = str(settings.IMPERSONATION_MINUTES)
    await credentials.notify(db, user, "impersonated", minutes=minutes, reason=reason)
    return signed_in


async def delete_user(db: AsyncSession, user_id: int, *, by: int) -> None:
    """Delete an account and its sessions. Audit events and mails stay; `erase` removes them.

    Args:
        by: the id of the acting superuser.

    Raises:
        CannotDeleteYourself
        PermissionDenied: the acting user is no longer an active superuser. So when two superusers
            delete each other, one remains.
        UserNotFound
    """
    if user_id == by:
        raise CannotDeleteYourself
    await _lock_superusers(db, by)
    if await queries.user.remove(db, id=user_id) is None:
        raise accounts.UserNotFound
    await queries.session.remove_all(db, user_id)
    audit.record(db, "user.deleted", subject_id=user_id)
    after_commit(db, lambda: accounts.count_users.forget(db))


async def resend_verification(db: AsyncSession, user_id: int) -> None:
    """Enqueue the verification mail again.

    Raises:
        RateLimited: too many mails to this user.
        UserNotFound
    """
    await throttle.limit_verification(user_id)
    await accounts.get_locked(db, user_id)
    await credentials.resend_verification(db, user_id)
    audit.record(db, "email.verification_resent", subject_id=user_id)


async def erase(db: AsyncSession, user_id: int) -> ErasureResult:
    """Delete an account with its sessions, tokens and mails, and erase its traces in the audit log.

    The hash chain of the log stays valid. For an account that was deleted before, the remaining
    data is removed.

    Raises:
        LastSuperuser
        UserNotFound: there is no account, and no event names this user.
    """
    superusers = set(await queries.user.lock_superusers(db))
    if superusers == {user_id}:
        raise LastSuperuser("The last superuser cannot be erased")
    user = await queries.user.get(db, user_id, lock=True)
    mails = 0
    if user is not None:
        addresses = [user.email, *await queries.one_time_token.get_addresses(db, user_id)]
        mails = await queries.mail.remove_for_recipients(db, addresses)
        await queries.user.remove(db, id=user_id)
    elif not await queries.event.has_user(db, user_id):
        raise accounts.UserNotFound
    sessions = await queries.session.erase_all(db, user_id)
    evidence = audit.build_event(queries.event.ERASED, subject_id=user_id)
    events = await queries.event.erase_personal_data(db, evidence)
    after_commit(db, lambda: accounts.count_users.forget(db))
    return ErasureResult(user is not None, sessions, mails, events)


async def plan_canonical_emails(db: AsyncSession) -> Plan:
    """Find accounts whose addresses collide, and canonical forms that are missing."""
    unusual = await queries.user.get_unusual_addresses(db)
    forms = {canonical(account.email) for account in unusual}
    holders = await queries.user.get_address_holders(db, list(forms))
    return plan_keys({account.id: account for account in (*unusual, *holders)}.values())


async def compute_canonical_emails(db: AsyncSession) -> Plan:
    """Write the canonical forms that plain SQL or an older release left out.

    Accounts that collide are reported in the plan and never merged.

    Raises:
        Rejected: another account registered one of the addresses. Nothing was written.
    """
    plan = await plan_canonical_emails(db)
    for account, form in plan.changes:
        await queries.user.set_canonical_email(db, account, form)
    return plan


def _describe_change(name: str, value: object) -> str:
    """Leave out personal values: a reason cannot be erased without breaking the hash chain."""
    return f"{name}={value}" if isinstance(value, bool) and name in LIBRARY else name


async def _lock_superusers(db: AsyncSession, by: int) -> set[int]:
    """Lock the active superusers until the transaction ends, and return their ids."""
    superusers = set(await queries.user.lock_superusers(db))
    if by not in superusers:
        raise PermissionDenied
    return superusers
