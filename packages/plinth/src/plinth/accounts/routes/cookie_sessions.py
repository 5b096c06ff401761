"""Routes for sessions in cookies. `routes/auth.py` includes them with `AUTH_COOKIES=true`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from plinth.accounts import session_cookies
from plinth.accounts.deps import CurrentUser, Rotations
from plinth.accounts.schemas.auth import CsrfToken
from plinth.accounts.services import rotation
from plinth.accounts.services.rotation import InvalidRefreshToken
from plinth.accounts.session_cookies import Transport
from plinth.errors import PermissionDenied, RateLimited, Rejected, Unauthenticated, Unavailable
from plinth.http.problems import responses
from plinth.resources.access import PUBLIC, USER, access
from plinth.resources.deps import Client, DatabaseDep

public_router = APIRouter(prefix="/cookies")
private_router = APIRouter(prefix="/cookies")


async def get_refresh_cookie(request: Request, transport: Transport = None) -> str:
    if not session_cookies.requests_cookies(request.scope, transport):
        raise session_cookies.UnknownTransport(session_cookies.TRANSPORT_REQUIRED)
    token = session_cookies.find_refresh_token(request.scope)
    if token is None:
        raise InvalidRefreshToken
    return token


RefreshCookie = Annotated[str, Depends(get_refresh_cookie)]


@public_router.post(
    "/refresh",
    status_code=204,
    responses=responses(Rejected, Unauthenticated, PermissionDenied, RateLimited, Unavailable),
)
@access(PUBLIC, queries=3)
async def refresh_cookies(
    database: DatabaseDep,
    rotations: Rotations,
    client: Client,
    token: RefreshCookie,
    response: Response,
) -> None:
    """Replace both tokens in the cookies. Send the header `X-Auth-Transport: cookie`.

    The header takes the place of the CSRF token, which a page can get only with an access token.
    """
    tokens = await rotation.refresh(database, rotations, token, client)
    session_cookies.set_session(response, tokens)


@private_router.get("/csrf")
@access(USER, queries=1)
async def get_csrf_token(user: CurrentUser) -> CsrfToken:
    """Return the value for the header `X-CSRF-Token`. It is valid as long as the session."""
    return CsrfToken(csrf_token=session_cookies.make_csrf_token(user.session_id))
