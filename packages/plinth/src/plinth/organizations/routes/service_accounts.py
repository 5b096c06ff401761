"""Routes for the service accounts of an organization and their API keys."""

from uuid import UUID

from fastapi import APIRouter, Request

from plinth.accounts.routes.api_keys import show_key
from plinth.accounts.schemas.api_key import ApiKeyOut, ApiKeyToCreate, NewApiKeyOut
from plinth.accounts.services.api_keys import lifecycle
from plinth.config import settings
from plinth.errors import Conflict, RateLimited
from plinth.http.problems import responses
from plinth.organizations.deps import DirectMember, FreshMember, Member
from plinth.organizations.models import ServiceAccount
from plinth.organizations.schemas import ServiceAccountCreate, ServiceAccountOut
from plinth.organizations.services import service_accounts
from plinth.resources.access import MEMBER, access, list_permissions
from plinth.resources.deps import DB, Limit, RowId, Skip

router = APIRouter(prefix="/organizations/{slug}/service-accounts", tags=["service accounts"])


@router.get("")
@access(MEMBER, queries=2, permission="service_accounts:read")
async def list_service_accounts(
    db: DB, member: Member, skip: Skip = 0, limit: Limit = settings.DEFAULT_PAGE_SIZE
) -> list[ServiceAccountOut]:
    """The service accounts of the organization, oldest first."""
    rows = await service_accounts.list_accounts(db, member, skip=skip, limit=limit)
    return [_show(account, role) for account, role in rows]


@router.post("", status_code=201, responses=responses(Conflict))
@access(MEMBER, queries=9, fresh=True, permission="service_accounts:write")
async def create_service_account(
    db: DB, member: FreshMember, data: ServiceAccountCreate
) -> ServiceAccountOut:
    """Create a member that cannot sign in and uses the API by keys. You need all permissions of
    its role."""
    account = await service_accounts.create(db, member, name=data.name, role=data.role)
    return _show(account, data.role)


@router.delete("/{account_id}", status_code=204)
@access(MEMBER, queries=7, permission="service_accounts:write")
async def delete_service_account(db: DB, member: DirectMember, account_id: RowId) -> None:
    """Delete a service account with its keys."""
    await service_accounts.remove(db, member, account_id)


@router.get("/{account_id}/api-keys")
@access(MEMBER, queries=3, permission="service_accounts:read")
async def list_service_keys(
    db: DB,
    member: DirectMember,
    account_id: RowId,
    skip: Skip = 0,
    limit: Limit = settings.MAX_PAGE_SIZE,
) -> list[ApiKeyOut]:
    """List the keys of a service account that were not revoked, newest first."""
    rows = await service_accounts.list_keys(db, member, account_id, skip=skip, limit=limit)
    return [show_key(row) for row in rows]


@router.post("/{account_id}/api-keys", status_code=201, responses=responses(RateLimited))
@access(MEMBER, queries=10, fresh=True, permission="service_accounts:write")
async def create_service_key(
    request: Request, db: DB, member: FreshMember, account_id: RowId, key: ApiKeyToCreate
) -> NewApiKeyOut:
    """Create a key of a service account. The response is the only one that contains it."""
    lifecycle.check_scopes(key.scopes, list_permissions(request.app))
    values = key.model_dump(exclude={"expires_in_days"})
    row, text = await service_accounts.create_key(
        db, member, account_id, values, key.expires_in_days
    )
    return NewApiKeyOut(**show_key(row).model_dump(), key=text)


@router.delete("/{account_id}/api-keys/{api_key_id}", status_code=204)
@access(MEMBER, queries=7, permission="service_accounts:write")
async def revoke_service_key(
    db: DB, member: DirectMember, account_id: RowId, api_key_id: UUID
) -> None:
    """Revoke a key of a service account. The next request with it is refused."""
    await service_accounts.revoke_key(db, member, account_id, api_key_id)


def _show(account: ServiceAccount, role: str) -> ServiceAccountOut:
    return ServiceAccountOut(
        id=account.user_id, name=account.name, role=role, created_at=account.created_at
    )
