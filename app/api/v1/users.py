"""The routes under `/users`."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import TypeAdapter

from app import crud
from app.api.deps import DB, Caller, CurrentUser, Limit, ReadDB, RowId, Skip, Superuser
from app.models import Event
from app.schemas.user import PublicUser, UserAdminUpdate, UserResponse, UserUpdate
from plinth import accounts
from plinth.accounts import BaseUser
from plinth.accounts.queries import event as events
from plinth.accounts.schemas.event import EventOut
from plinth.config import settings
from plinth.errors import Conflict, NotFound, PermissionDenied, RateLimited, Rejected
from plinth.http import responses
from plinth.resources import SUPERUSER, USER, ListParams, Page, access, list_params_for, show_page
from plinth.resources.fields import SearchText, SerializeAsInstance

router = APIRouter(prefix="/users", tags=["users"])

UserListParams = Annotated[ListParams, Depends(list_params_for(crud.user.listing))]
VisibleUser = Annotated[UserResponse | PublicUser, SerializeAsInstance]
_full, _public = TypeAdapter(list[UserResponse]), TypeAdapter(list[PublicUser])


@router.get("/me", response_model=UserResponse)
@access(USER, queries=1, permission="profile:read")
async def get_me(user: CurrentUser) -> Caller:
    return user


@router.patch(
    "/me", response_model=UserResponse, responses=responses(PermissionDenied, RateLimited)
)
@access(USER, queries=17)
async def update_me(db: DB, user: CurrentUser, changes: UserUpdate) -> BaseUser:
    """A new e-mail or password requires `current_password`. A new password ends the other sessions.
    A new e-mail takes effect, and ends them too, when the link that is sent to it is opened."""
    return await accounts.update_profile(db, user.id, user.session_id, changes)


@router.get("/me/events", response_model=list[EventOut])
@access(USER, queries=2)
async def list_my_events(
    db: DB, user: CurrentUser, skip: Skip = 0, limit: Limit = settings.DEFAULT_PAGE_SIZE
) -> Sequence[Event]:
    """The security events of your account, newest first."""
    return await events.get_of(db, user.id, skip=skip, limit=limit)


@router.get("/search")
@access(USER, queries=2)
async def search_users(
    db: ReadDB,
    user: CurrentUser,
    q: Annotated[SearchText, Query(description="Plain text, case-insensitive, anywhere.")],
    skip: Skip = 0,
    limit: Limit = settings.DEFAULT_PAGE_SIZE,
) -> list[VisibleUser]:
    """Superusers also search e-mails; others search and see public fields only."""
    found = await crud.user.search_users(
        db, query=q, skip=skip, limit=limit, emails=user.is_superuser
    )
    return _show(found, to=user)


@router.get("/{user_id}", responses=responses(NotFound))
@access(USER, queries=2)
async def get_user(db: ReadDB, user: CurrentUser, user_id: RowId) -> VisibleUser:
    """Superusers and the user see all fields; others see public fields only."""
    return _show([await accounts.get_user(db, user_id)], to=user)[0]


@router.get("/", response_model=Page[UserResponse], responses=responses(PermissionDenied))
@access(SUPERUSER, queries=3)
async def list_users(
    request: Request, db: ReadDB, _: Superuser, params: UserListParams
) -> dict[str, Any]:
    return show_page(request, await accounts.list_users(db, params))


@router.patch(
    "/{user_id}",
    response_model=UserResponse,
    responses=responses(Rejected, PermissionDenied, NotFound),
)
@access(SUPERUSER, queries=7)
async def change_user(
    db: DB, user: Superuser, user_id: RowId, changes: UserAdminUpdate
) -> BaseUser:
    """Change flags and names, never the password. A new role or active flag ends the sessions."""
    return await accounts.change_user(db, user_id, changes, by=user.id)


@router.delete(
    "/{user_id}",
    status_code=204,
    responses=responses(Rejected, PermissionDenied, NotFound, Conflict),
)
@access(SUPERUSER, queries=6)
async def delete_user(db: DB, user: Superuser, user_id: RowId) -> None:
    await accounts.delete_user(db, user_id, by=user.id)


def _show(rows: Sequence[BaseUser], *, to: Caller) -> list[UserResponse | PublicUser]:
    if to.is_superuser:
        return [*_full.validate_python(rows, from_attributes=True)]
    shown: list[UserResponse | PublicUser] = [*_public.validate_python(rows, from_attributes=True)]
    for index, row in enumerate(rows):
        if row.id == to.id:
            shown[index] = UserResponse.model_validate(row)
    return shown
