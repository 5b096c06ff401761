"""Routes for identity providers: sign-in, and the identities of a user.

`routes/auth.py` and `routes/user_sessions.py` include them, so that applications have them.
"""

import re
from secrets import token_urlsafe
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse

from plinth.accounts.deps import CurrentUser, Delivered, Delivery, DirectUser, FreshUser
from plinth.accounts.models import Identity
from plinth.accounts.schemas.auth import TokenPair
from plinth.accounts.schemas.identity import (
    FlowToStart,
    IdentityOut,
    LinkStarted,
    OidcCode,
    ProviderName,
    ProviderResponse,
    SignInToStart,
    Token,
)
from plinth.accounts.services import throttle
from plinth.accounts.services.identities import codes, flow, owned
from plinth.errors import (
    NotFound,
    PermissionDenied,
    RateLimited,
    Rejected,
    Unauthenticated,
    Unavailable,
)
from plinth.http.problems import responses
from plinth.request.cookies import find_only_cookie, name_cookie, set_cookie
from plinth.resources.access import OWNER, PUBLIC, USER, access
from plinth.resources.deps import DB, Client, DatabaseDep

COOKIE = "plinth_oidc"
BROWSER = re.compile(r"[A-Za-z0-9_-]{43}")
SEE_OTHER = 303

public_router = APIRouter(prefix="/oidc", tags=["identity providers"])
identities_router = APIRouter(prefix="/me/identities", tags=["identity providers"])


@public_router.get(
    "/{provider}/start",
    status_code=SEE_OTHER,
    response_class=RedirectResponse,
    responses=responses(Rejected, NotFound, RateLimited, Unavailable),
)
@access(PUBLIC, queries=1)
async def start_oidc(
    request: Request,
    database: DatabaseDep,
    client: Client,
    provider: ProviderName,
    target: Annotated[SignInToStart, Query()],
) -> RedirectResponse:
    """Redirect the browser to the provider. After the sign-in, it returns to `redirect_to`."""
    await throttle.limit_provider("start", client)
    browser = _find_browser(request) or token_urlsafe(32)
    checked = codes.check_target(target.redirect_to, target.code_challenge)
    url = await flow.start(database, provider, checked, browser, fresh=target.fresh)
    return _redirect(url, browser)


@public_router.get(
    "/{provider}/link",
    status_code=SEE_OTHER,
    response_class=RedirectResponse,
    responses=responses(Rejected, NotFound, RateLimited, Unavailable),
)
@access(PUBLIC, queries=5)
async def start_oidc_link(
    request: Request,
    database: DatabaseDep,
    client: Client,
    provider: ProviderName,
    ticket: Annotated[Token, Query()],
) -> RedirectResponse:
    """Redirect the browser to the provider. `POST /users/me/identities/{provider}/start` returns
    the URL of this route with a ticket."""
    await throttle.limit_provider("start", client)
    browser = _find_browser(request) or token_urlsafe(32)
    return _redirect(await flow.start_link(database, provider, ticket, browser), browser)


@public_router.get(
    "/{provider}/callback",
    status_code=SEE_OTHER,
    response_class=RedirectResponse,
    responses=responses(Rejected, NotFound, RateLimited, Unavailable),
)
@access(PUBLIC, queries=5)
async def receive_oidc(
    request: Request,
    database: DatabaseDep,
    client: Client,
    provider: ProviderName,
    response: Annotated[ProviderResponse, Query()],
) -> RedirectResponse:
    """Redirect the browser from the provider to the front end, with `code` or `error`."""
    await throttle.limit_provider("callback", client)
    return _redirect(await flow.receive(database, provider, response, _find_browser(request)))


@public_router.post(
    "/token",
    response_model=TokenPair,
    responses=responses(
        Rejected, Unauthenticated, PermissionDenied, RateLimited, Unavailable, NotFound
    ),
)
@access(PUBLIC, queries=19)
async def complete_oidc(
    database: DatabaseDep, proof: OidcCode, client: Client, delivery: Delivery
) -> Delivered:
    """Complete the sign-in with the `code` of the redirect. A new user is registered."""
    await throttle.limit_provider("token", client)
    signed_in = await flow.complete(database, proof.code, proof.code_verifier, client)
    return delivery.deliver(signed_in)


@identities_router.get("", response_model=list[IdentityOut])
@access(USER, queries=2)
async def list_identities(db: DB, user: CurrentUser) -> list[Identity]:
    """List the accounts at identity providers that sign you in, oldest first."""
    return list(await owned.list_identities(db, user.id))


@identities_router.post(
    "/{provider}/start",
    status_code=201,
    responses=responses(Rejected, PermissionDenied, NotFound),
)
@access(USER, queries=6, fresh=True)
async def start_link(
    db: DB, user: FreshUser, provider: ProviderName, target: FlowToStart
) -> LinkStarted:
    """Begin to link an account at a provider."""
    checked = codes.check_target(target.redirect_to, target.code_challenge)
    return LinkStarted(url=await owned.start(db, user, provider, checked))


@identities_router.post(
    "/link", response_model=IdentityOut, status_code=201, responses=responses(PermissionDenied)
)
@access(USER, queries=14)
async def link_identity(db: DB, user: DirectUser, proof: OidcCode) -> Identity:
    """Link the account at a provider, with the `code` of the redirect, in the same session."""
    return await owned.link(db, user, proof.code, proof.code_verifier)


@identities_router.delete(
    "/{identity_id}", status_code=204, responses=responses(PermissionDenied, NotFound)
)
@access(OWNER, queries=14, fresh=True)
async def remove_identity(db: DB, user: FreshUser, identity_id: UUID) -> None:
    """Remove an account at a provider. Your other sessions end."""
    await owned.remove(db, user, identity_id)


def _find_browser(request: Request) -> str | None:
    """Return the cookie of this browser. It stays the same, for sign-ins in several tabs."""
    value = find_only_cookie(request.scope, name_cookie(COOKIE))
    return value if value and BROWSER.fullmatch(value) else None


def _redirect(url: str, browser: str | None = None) -> RedirectResponse:
    response = RedirectResponse(url, SEE_OTHER)
    if browser:
        # The provider's redirect is a navigation from another site, so "lax".
        seconds = int(flow.STATE_LIFETIME.total_seconds())
        set_cookie(response, COOKIE, browser, max_age=seconds, samesite="lax")
    return response
