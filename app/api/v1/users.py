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
from plinth.errors import Denied, NotFound, Rejected, TooMany
from plinth.http.problems import responses
from plinth.resources.access import SUPERUSER, USER, access
from plinth.resources.fields import SearchText
from plinth.resources.listing import Wanted
from plinth.resources.pages import Page, show_page
from plinth.resources.shown import AsMade
from plinth.resources.wanted import wanted_of

router = APIRouter(prefix="/users", tags=["users"])

UsersWanted = Annotated[Wanted, Depends(wanted_of(crud.user.listing))]
Shown = Annotated[UserResponse | PublicUser, AsMade]
_as_whole, _as_public = TypeAdapter(list[UserResponse]), TypeAdapter(list[PublicUser])


@router.get("/me", response_model=UserResponse)
@access(USER, queries=1)
async def get_me(user: CurrentUser) -> Caller:
    return user


@router.patch("/me", response_model=UserResponse, responses=responses(TooMany))
@access(USER, queries=17)
async def update_me(db: DB, user: CurrentUser, changes: UserUpdate) -> BaseUser:
    """A new e-mail or password asks for `current_password`. A password ends the other sessions; an
    e-mail takes effect, and then does so too, when the link in the mail to it is used."""
    return await accounts.update_profile(db, user.id, user.session_id, changes)


@router.get("/me/events", response_model=list[EventOut])
@access(USER, queries=2)
async def list_my_events(
    db: DB, user: CurrentUser, skip: Skip = 0, limit: Limit = settings.DEFAULT_PAGE_SIZE
) -> Sequence[Event]:
    """What happened to one's account, newest first."""
    return await events.get_of(db, user.id, skip=skip, limit=limit)


@router.get("/search")
@access(USER, queries=2)
async def search_users(
    db: ReadDB,
    user: CurrentUser,
    q: Annotated[SearchText, Query(description="Plain text, anywhere, without case.")],
    skip: Skip = 0,
    limit: Limit = settings.DEFAULT_PAGE_SIZE,
) -> list[Shown]:
    """Superusers search e-mails too; others search, and see, what is public."""
    found = await crud.user.search_users(
        db, query=q, skip=skip, limit=limit, emails=user.is_superuser
    )
    return _show(found, to=user)


@router.get("/{user_id}", responses=responses(NotFound))
@access(USER, queries=2)
async def get_user(db: ReadDB, user: CurrentUser, user_id: RowId) -> Shown:
    """Superusers, and the user themselves, see all of it; others what is public."""
    return _show([await accounts.find(db, user_id)], to=user)[0]


@router.get("/", response_model=Page[UserResponse], responses=responses(Denied))
@access(SUPERUSER, queries=3)
async def list_users(
    request: Request, db: ReadDB, _: Superuser, wanted: UsersWanted
) -> dict[str, Any]:
    return show_page(request, await accounts.list_page(db, wanted))


@router.patch(
    "/{user_id}", response_model=UserResponse, responses=responses(Rejected, Denied, NotFound)
)
@access(SUPERUSER, queries=7)
async def change_user(
    db: DB, user: Superuser, user_id: RowId, changes: UserAdminUpdate
) -> BaseUser:
    """Flags and names; never the password. A change of role or activity ends their sessions."""
    return await accounts.change_user(db, user_id, changes, by=user.id)


@router.delete("/{user_id}", status_code=204, responses=responses(Rejected, Denied, NotFound))
@access(SUPERUSER, queries=6)
async def delete_user(db: DB, user: Superuser, user_id: RowId) -> None:
    await accounts.delete_user(db, user_id, by=user.id)


def _show(rows: Sequence[BaseUser], *, to: Caller) -> list[UserResponse | PublicUser]:
    if to.is_superuser:
        return [*_as_whole.validate_python(rows, from_attributes=True)]
    shown: list[UserResponse | PublicUser] = [
        *_as_public.validate_python(rows, from_attributes=True)
    ]
    for place, row in enumerate(rows):
        if row.id == to.id:
            shown[place] = UserResponse.model_validate(row)
    return shown
