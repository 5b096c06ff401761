"""Routes for sessions: users list and end their own; superusers those of others."""

from uuid import UUID

from fastapi import APIRouter

from plinth.accounts import queries
from plinth.accounts.deps import (
    CurrentUser,
    Delivered,
    Delivery,
    DirectUser,
    FreshSuperuser,
    Superuser,
)
from plinth.accounts.models import Session
from plinth.accounts.routes import api_keys, identities, passkeys, second_factors
from plinth.accounts.schemas.auth import TokenPair
from plinth.accounts.schemas.session import ImpersonationRequest, SessionOut
from plinth.accounts.services import accounts, administration, sessions
from plinth.config import settings
from plinth.errors import NotFound, PermissionDenied
from plinth.http.problems import responses
from plinth.request.client import describe_device
from plinth.resources.access import OWNER, SUPERUSER, USER, access
from plinth.resources.deps import DB, Client, Limit, RowId, Skip

router = APIRouter(prefix="/users", tags=["sessions"])
router.include_router(second_factors.factors_router)
router.include_router(identities.identities_router)
router.include_router(passkeys.factors_router)
router.include_router(api_keys.keys_router)


@router.get("/me/sessions")
@access(USER, queries=2)
async def list_my_sessions(
    db: DB, user: CurrentUser, skip: Skip = 0, limit: Limit = settings.MAX_PAGE_SIZE
) -> list[SessionOut]:
    """List the live sessions of the user, newest first."""
    rows = await queries.session.get_live(db, user.id, skip=skip, limit=limit)
    return [_to_schema(row, user.session_id) for row in rows]


@router.delete(
    "/me/sessions/{session_id}",
    status_code=204,
    responses=responses(PermissionDenied, NotFound),
)
@access(OWNER, queries=3)
async def end_my_session(db: DB, user: DirectUser, session_id: UUID) -> None:
    await sessions.end(db, user.id, session_id, reason="ended by its user")


@router.get("/{user_id}/sessions", responses=responses(PermissionDenied, NotFound))
@access(SUPERUSER, queries=3)
async def list_sessions(
    db: DB,
    admin: Superuser,
    user_id: RowId,
    skip: Skip = 0,
    limit: Limit = settings.MAX_PAGE_SIZE,
) -> list[SessionOut]:
    """List the live sessions of a user, newest first."""
    await accounts.get(db, user_id)
    rows = await queries.session.get_live(db, user_id, skip=skip, limit=limit)
    return [_to_schema(row, admin.session_id) for row in rows]


@router.delete(
    "/{user_id}/sessions/{session_id}",
    status_code=204,
    responses=responses(PermissionDenied, NotFound),
)
@access(SUPERUSER, queries=3)
async def end_session(db: DB, _: Superuser, user_id: RowId, session_id: UUID) -> None:
    await sessions.end(db, user_id, session_id, reason="ended by a superuser")


@router.delete(
    "/{user_id}/sessions", status_code=204, responses=responses(PermissionDenied, NotFound)
)
@access(SUPERUSER, queries=5)
async def end_all_sessions(db: DB, _: Superuser, user_id: RowId) -> None:
    await accounts.get(db, user_id)
    await sessions.end_all(db, user_id, reason="ended by a superuser")


@router.post(
    "/{user_id}/impersonation",
    response_model=TokenPair,
    status_code=201,
    responses=responses(PermissionDenied, NotFound),
)
@access(SUPERUSER, queries=10, fresh=True)
async def impersonate(
    *,
    db: DB,
    admin: FreshSuperuser,
    user_id: RowId,
    request: ImpersonationRequest,
    client: Client,
    delivery: Delivery,
) -> Delivered:
    """Start a session as another user, for support. Its audit events have you as the actor.

    It ends after `IMPERSONATION_MINUTES`, by `POST /auth/logout`, or with your own session. It
    cannot use or change credentials, and the user is notified.
    """
    signed_in = await administration.impersonate(db, admin, user_id, request.reason, client)
    return delivery.deliver(signed_in, remember=False)


def _to_schema(session: Session, current_id: UUID) -> SessionOut:
    return SessionOut(
        id=session.id,
        device=describe_device(session.user_agent),
        ip=session.ip,
        created_at=session.created_at,
        last_used_at=session.last_used_at,
        expires_at=session.expires_at,
        is_current=session.id == current_id,
        is_impersonation=session.acting_user_id is not None,
    )
