from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from plinth.accounts import session_cookies
from plinth.accounts.deps import CurrentUser, Delivered, Delivery, DirectUser, Rotations
from plinth.accounts.routes import (
    cookie_sessions,
    email_codes,
    identities,
    passkeys,
    second_factors,
)
from plinth.accounts.schemas.auth import Credentials, PasswordForm, RefreshRequest, TokenPair
from plinth.accounts.services import rotation, sessions
from plinth.config import settings
from plinth.errors import PermissionDenied, RateLimited, Rejected, Unauthenticated, Unavailable
from plinth.http.problems import responses
from plinth.resources.access import PUBLIC, USER, access
from plinth.resources.deps import DB, Client, DatabaseDep

public_router = APIRouter(prefix="/auth", tags=["auth"])
public_router.include_router(email_codes.router)
public_router.include_router(second_factors.public_router)
public_router.include_router(identities.public_router)
public_router.include_router(passkeys.public_router)
private_router = APIRouter(prefix="/auth", tags=["auth"])
private_router.include_router(second_factors.private_router)
private_router.include_router(passkeys.private_router)
if settings.AUTH_COOKIES:
    public_router.include_router(cookie_sessions.public_router)
    private_router.include_router(cookie_sessions.private_router)


@public_router.post(
    "/login",
    response_model=TokenPair,
    responses=responses(Rejected, Unauthenticated, PermissionDenied, RateLimited, Unavailable),
)
@access(PUBLIC, queries=2)
async def login(
    database: DatabaseDep, credentials: Credentials, client: Client, delivery: Delivery
) -> Delivered:
    return await _sign_in(database, credentials.email, credentials.password, client, delivery)


@public_router.post(
    "/token",
    response_model=TokenPair,
    responses=responses(Rejected, Unauthenticated, PermissionDenied, RateLimited, Unavailable),
)
@access(PUBLIC, queries=2)
async def login_by_form(
    database: DatabaseDep, form: Annotated[PasswordForm, Form()], client: Client, delivery: Delivery
) -> Delivered:
    """Sign in with the form of the OAuth 2.0 password grant, as the Authorize button sends it."""
    return await _sign_in(database, form.username, form.password, client, delivery)


@public_router.post(
    "/refresh",
    response_model=TokenPair,
    responses=responses(Unauthenticated, PermissionDenied, RateLimited, Unavailable),
)
@access(PUBLIC, queries=3)
async def refresh(
    database: DatabaseDep, rotations: Rotations, request: RefreshRequest, client: Client
) -> sessions.Tokens:
    """Issue a new access token and a new refresh token. The old refresh token becomes invalid."""
    return await rotation.refresh(database, rotations, request.refresh_token, client)


@private_router.post("/logout", status_code=204)
@access(USER, queries=3)
async def logout(db: DB, user: CurrentUser, request: Request, response: Response) -> None:
    """End this session. Its access token and its refresh token become invalid."""
    await sessions.end(db, user.id, user.session_id, reason="signed out")
    session_cookies.clear_session(request.scope, response, user.session_id)


@private_router.post("/logout-all", status_code=204, responses=responses(PermissionDenied))
@access(USER, queries=4)
async def logout_everywhere(db: DB, user: DirectUser, request: Request, response: Response) -> None:
    """End all sessions of the user, including this one."""
    await sessions.end_all(db, user.id, reason="signed out everywhere")
    session_cookies.clear_session(request.scope, response, user.session_id)


async def _sign_in(
    database: DatabaseDep, email: str, password: str, client: Client, delivery: Delivery
) -> Delivered:
    cookie = delivery.device.cookie
    return delivery.deliver(await sessions.sign_in(database, email, password, client, cookie))
