"""Routes for API keys: the keys of a user, and reports of keys that were found.

`routes/user_sessions.py` includes the first ones. An application lists `public_router` in PUBLIC.
"""

from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import MISSING

from plinth.accounts import queries
from plinth.accounts.deps import CurrentUser, DirectUser, FreshUser
from plinth.accounts.models import ApiKey
from plinth.accounts.schemas.api_key import (
    ApiKeyChanges,
    ApiKeyOut,
    ApiKeyToCreate,
    FoundApiKey,
    NewApiKeyOut,
)
from plinth.accounts.services import throttle
from plinth.accounts.services.api_keys import lifecycle
from plinth.config import settings
from plinth.errors import NotFound, PermissionDenied, RateLimited, Rejected, Unavailable
from plinth.http.problems import responses
from plinth.resources.access import OWNER, PUBLIC, USER, access, list_permissions
from plinth.resources.deps import DB, Client, Limit, Skip
from plinth.security.api_keys import make_prefix

public_router = APIRouter(prefix="/api-keys", tags=["API keys"])
keys_router = APIRouter(prefix="/me/api-keys", tags=["API keys"])


@keys_router.get("")
@access(USER, queries=2)
async def list_api_keys(
    db: DB, user: CurrentUser, skip: Skip = 0, limit: Limit = settings.MAX_PAGE_SIZE
) -> list[ApiKeyOut]:
    """List your API keys that were not revoked, newest first."""
    return [
        show_key(it) for it in await queries.api_key.get_all(db, user.id, skip=skip, limit=limit)
    ]


@keys_router.post("", status_code=201, responses=responses(Rejected, PermissionDenied, RateLimited))
@access(USER, queries=7, fresh=True)
async def create_api_key(
    request: Request, db: DB, user: FreshUser, key: ApiKeyToCreate
) -> NewApiKeyOut:
    """Create an API key. The response is the only one that contains it."""
    lifecycle.check_scopes(key.scopes, list_permissions(request.app))
    values = key.model_dump(exclude={"expires_in_days"})
    row, text = await lifecycle.create(db, user, values, key.expires_in_days)
    return NewApiKeyOut(**show_key(row).model_dump(), key=text)


@keys_router.patch("/{key_id}", responses=responses(PermissionDenied, NotFound))
@access(OWNER, queries=6, fresh=True)
async def change_api_key(
    request: Request, db: DB, user: FreshUser, key_id: UUID, changes: ApiKeyChanges
) -> ApiKeyOut:
    """Change the name, the scopes or the networks of an API key. Its lifetime stays."""
    if changes.scopes is not MISSING:
        lifecycle.check_scopes(changes.scopes, list_permissions(request.app))
    return show_key(await lifecycle.change(db, user, key_id, changes.model_dump()))


@keys_router.delete("/{key_id}", status_code=204, responses=responses(PermissionDenied, NotFound))
@access(OWNER, queries=3)
async def revoke_api_key(db: DB, user: DirectUser, key_id: UUID) -> None:
    """Revoke an API key. The next request with it is refused."""
    await lifecycle.revoke(db, user.id, key_id)


@public_router.post("/revoke", status_code=204, responses=responses(RateLimited, Unavailable))
@access(PUBLIC, queries=5)
async def report_api_key(db: DB, found: FoundApiKey, client: Client) -> None:
    """Revoke a key that you found, for example in source code. The user who created it is notified.

    The response does not reveal whether the key worked.
    """
    await throttle.limit_key_reports(client)
    await lifecycle.revoke_reported(db, found.key)


def show_key(row: ApiKey) -> ApiKeyOut:
    return ApiKeyOut(
        id=row.id,
        name=row.name,
        prefix=make_prefix(row.id),
        scopes=row.scopes,
        networks=[str(it) for it in row.networks],
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_on=row.last_used_on,
    )
