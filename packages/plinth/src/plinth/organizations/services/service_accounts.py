"""Service accounts of an organization, and their API keys.

A service account is a user without a way to sign in, and a member with a role. A caller creates no
account, and no key of one, whose role has permissions that the caller's role lacks.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries as account_queries
from plinth.accounts.models import ApiKey
from plinth.accounts.services import accounts, throttle
from plinth.accounts.services.api_keys import lifecycle
from plinth.accounts.services.api_keys.lifecycle import NewApiKey
from plinth.accounts.user_columns import REQUIRED, SERVICE_VALUES
from plinth.config.organization_roles import OWNER
from plinth.errors import Conflict, InvalidField, NotFound, Rejected
from plinth.organizations import queries
from plinth.organizations.models import Organization, ServiceAccount
from plinth.organizations.queries.member import MemberPrincipal
from plinth.organizations.services.members import record
from plinth.organizations.services.roles import lock_as, require_role

WRITE = "service_accounts:write"
MAX_SERVICE_ACCOUNTS = 50  # of one organization


class ServiceAccountNotFound(NotFound):
    code = "service_account_not_found"
    detail = "Service account not found"


class TooManyServiceAccounts(Rejected):
    code = "too_many_service_accounts"
    detail = f"An organization can have {MAX_SERVICE_ACCOUNTS} service accounts: delete one first"


class ServiceAccountColumn(Conflict):
    code = "service_account_column"


async def create(
    db: AsyncSession, member: MemberPrincipal, *, name: str, role: str
) -> ServiceAccount:
    """
    Raises:
        InvalidField: the role is that of an owner.
        RoleAboveOwn
        ServiceAccountColumn: the application's user model has no value for a required column.
        TooManyServiceAccounts
        PlinthError: as `lock_as`.
    """
    _require_values()
    if role == OWNER:
        raise InvalidField("role", "must not be owner", kind="service_account_owner")
    locked = await lock_as(db, member, WRITE)
    require_role(locked.members[member.id], role)
    organization = locked.organization
    if await queries.service_account.count(db, organization.id) >= MAX_SERVICE_ACCOUNTS:
        raise TooManyServiceAccounts
    user_id = await queries.service_account.add_user(db, name)
    await queries.organization.add_member(db, organization.id, user_id, role)
    account = ServiceAccount(
        user_id=user_id, organization_id=organization.id, name=name, created_by=member.id
    )
    await queries.service_account.add(db, account)
    record(db, "service_account.created", organization, user_id, f"role {role}")
    return account


def _require_values() -> None:
    missing = [name for name in REQUIRED if name not in SERVICE_VALUES]
    if missing:
        raise ServiceAccountColumn(
            f"A service account needs a value for the required column users.{missing[0]}. Declare "
            'it in the user model: mapped_column(info={"service_account": ...})'
        )


async def list_accounts(
    db: AsyncSession, member: MemberPrincipal, *, skip: int, limit: int
) -> Sequence[Row[ServiceAccount, str]]:
    """Return the service accounts with their roles, oldest first."""
    return await queries.service_account.list_all(
        db, member.organization_id, skip=skip, limit=limit
    )


async def remove(db: AsyncSession, member: MemberPrincipal, account_id: int) -> None:
    """Delete an account with its keys. The very next request with one is refused.

    Raises:
        RoleAboveOwn
        ServiceAccountNotFound
        PlinthError: as `lock_as`.
    """
    organization = await _lock(db, member, account_id)
    record(db, "service_account.deleted", organization, account_id, "with its keys")
    await queries.organization.remove_member(db, organization.id, account_id)


async def create_key(
    db: AsyncSession,
    member: MemberPrincipal,
    account_id: int,
    values: Mapping[str, Any],
    days: int,
) -> NewApiKey:
    """Create a key of a service account, as `lifecycle.create` does for a user.

    Raises:
        RateLimited
        RoleAboveOwn
        ServiceAccountNotFound
        TooManyApiKeys
        PlinthError: as `accounts.lock_caller` and `lock_as`.
    """
    await throttle.limit_api_keys(member.id)
    await accounts.lock_caller(db, member.id, member.session_id, recent=True)
    await _lock(db, member, account_id)
    return await lifecycle.add(db, account_id, values, days, created_by=member.id)


async def list_keys(
    db: AsyncSession, member: MemberPrincipal, account_id: int, *, skip: int, limit: int
) -> Sequence[ApiKey]:
    """
    Raises:
        ServiceAccountNotFound
    """
    if not await queries.service_account.exists(db, member.organization_id, account_id):
        raise ServiceAccountNotFound
    return await account_queries.api_key.get_all(db, account_id, skip=skip, limit=limit)


async def revoke_key(
    db: AsyncSession, member: MemberPrincipal, account_id: int, key_id: UUID
) -> None:
    """
    Raises:
        ApiKeyNotFound
        RoleAboveOwn
        ServiceAccountNotFound
        PlinthError: as `lock_as`.
    """
    await _lock(db, member, account_id)
    await lifecycle.revoke(db, account_id, key_id)


async def _lock(db: AsyncSession, member: MemberPrincipal, account_id: int) -> Organization:
    """Lock the organization of an account whose role the caller may grant."""
    locked = await lock_as(db, member, WRITE, account_id)
    if account_id not in locked.members or not await queries.service_account.exists(
        db, member.organization_id, account_id
    ):
        raise ServiceAccountNotFound
    require_role(locked.members[member.id], locked.members[account_id].role)
    return locked.organization
