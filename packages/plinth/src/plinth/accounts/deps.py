"""Dependencies that authenticate a request, for use as types: `user: CurrentUser`."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Response

from plinth.accounts import session_cookies
from plinth.accounts.base_user import BaseUser
from plinth.accounts.bearer import BearerToken, oauth2_scheme
from plinth.accounts.loaders import Resources as Resources  # noqa: PLC0414 - exported
from plinth.accounts.loaders import authenticate_key
from plinth.accounts.loaders import resources_of as resources_of  # noqa: PLC0414 - exported
from plinth.accounts.queries.api_key.principal import SessionRequired, WithoutSession
from plinth.accounts.queries.principal import Principal
from plinth.accounts.queries.rotation import Rotation
from plinth.accounts.services import authentication, sessions
from plinth.accounts.services.authentication import InactiveUser
from plinth.accounts.services.sessions import SignedIn, Tokens
from plinth.accounts.session_cookies import Transport
from plinth.config import settings
from plinth.db.dataloader import DataLoader
from plinth.errors import PermissionDenied, Unauthenticated
from plinth.http.openapi import optional_authentication
from plinth.request.context import current_request
from plinth.request.cookies import find_cookie
from plinth.request.headers import is_cross_site
from plinth.security import devices
from plinth.security.api_keys import looks_like_key

__all__ = [
    "BearerToken",
    "CurrentUser",
    "Delivered",
    "Delivery",
    "Device",
    "DirectUser",
    "FreshSuperuser",
    "FreshUser",
    "OptionalUser",
    "Principal",
    "Superuser",
    "VerifiedUser",
    "ViewerId",
    "get_current_user",
    "get_direct_user",
    "get_fresh_superuser",
    "get_fresh_user",
    "get_optional_user",
    "get_superuser",
    "get_verified_user",
    "oauth2_scheme",
]


async def get_rotations(request: Request) -> DataLoader[Rotation, int]:
    return resources_of(request).rotations


Rotations = Annotated[DataLoader[Rotation, int], Depends(get_rotations)]


async def get_current_user(request: Request, token: BearerToken) -> Principal:
    """Return the user of the session, or of the API key if it may use the route.

    Raises:
        InactiveUser
        PermissionDenied: see `api_keys.authentication.check`.
        Unauthenticated
    """
    if token is None:
        raise Unauthenticated
    if looks_like_key(token):
        return await authenticate_key(request, token)
    user = await sessions.authenticate(resources_of(request).principals, token)
    if info := current_request():
        info.user_id, info.session_id = user.id, user.session_id
        info.acting_user_id = user.acting_user_id
    return user


CurrentUser = Annotated[Principal, Depends(get_current_user)]


@optional_authentication
async def get_optional_user(request: Request, token: BearerToken) -> Principal | None:
    """Return the user, or None without a token or with an invalid one."""
    try:
        return await get_current_user(request, token)
    except (Unauthenticated, InactiveUser):
        return None


OptionalUser = Annotated[Principal | None, Depends(get_optional_user)]


async def get_viewer_id(user: OptionalUser) -> int | None:
    return user.id if user else None


ViewerId = Annotated[int | None, Depends(get_viewer_id)]
"""The id of the user, or None for a guest, for queries whose result depends on the viewer."""


async def get_superuser(user: CurrentUser) -> Principal:
    if not user.is_superuser:
        raise PermissionDenied
    return user


Superuser = Annotated[Principal, Depends(get_superuser)]


async def get_direct_user(user: CurrentUser) -> Principal:
    """Return the user, but not to a superuser who impersonates them, and to no API key.

    Raises:
        Impersonating
        SessionRequired
    """
    require_direct(user)
    return user


def require_direct(user: Principal) -> None:
    """
    Raises:
        Impersonating: a superuser impersonates the user.
        SessionRequired: the request has an API key.
    """
    if isinstance(user, WithoutSession):
        raise SessionRequired
    if user.acting_user_id is not None:
        raise authentication.Impersonating


DirectUser = Annotated[Principal, Depends(get_direct_user)]
"""The user, for routes that a superuser who impersonates them must not use, and no API key."""


async def get_fresh_user(request: Request, user: DirectUser) -> Principal:
    """Return the user if the session authenticated within `STEP_UP_MINUTES`.

    Raises:
        Impersonating
        StepUpRequired
    """
    await require_fresh(request, user)
    return user


async def require_fresh(request: Request, user: Principal) -> None:
    """
    Raises:
        StepUpRequired: the session did not authenticate within `STEP_UP_MINUTES`.
    """
    if not authentication.is_recent(user.authenticated_at):
        async with resources_of(request).database.transaction() as db:
            raise await authentication.build_step_up(db, user.id)


FreshUser = Annotated[Principal, Depends(get_fresh_user)]
"""The user of a session that authenticated recently. Declare it: `@access(USER, fresh=True)`."""


async def get_fresh_superuser(_: Superuser, user: FreshUser) -> Principal:
    """Return a superuser whose session authenticated within `STEP_UP_MINUTES`.

    Raises:
        StepUpRequired
    """
    return user


FreshSuperuser = Annotated[Principal, Depends(get_fresh_superuser)]


async def get_verified_user(user: CurrentUser) -> Principal:
    if not user.is_verified:
        raise PermissionDenied("Confirm your e-mail address first", code="unverified")
    return user


VerifiedUser = Annotated[Principal, Depends(get_verified_user)]


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """The device that sends the request.

    Attributes:
        cookie: the value of the device cookie, not yet validated.
    """

    cookie: str | None
    request: Request
    response: Response

    def remember(self, user: BaseUser) -> None:
        """Give this device its own sign-in limits for the account of `user`."""
        self.remember_account(devices.Account(user.id, user.credential_epoch))

    def remember_account(self, account: devices.Account) -> None:
        # A form on another site must not replace the cookie of this browser.
        if is_cross_site(self.request.scope):
            return
        self.response.set_cookie(
            devices.COOKIE,
            devices.remember(self.cookie, account),
            max_age=devices.SECONDS,
            path=f"{self.request.scope.get('root_path', '')}{settings.API_V1_PREFIX}/auth",
            secure=not settings.is_development,
            httponly=True,
            samesite="lax",
        )


async def get_device(request: Request, response: Response) -> KnownDevice:
    return KnownDevice(find_cookie(request.scope, devices.COOKIE), request, response)


Device = Annotated[KnownDevice, Depends(get_device)]

Delivered = Tokens | Response


@dataclass(frozen=True, slots=True)
class SessionDelivery:
    """Sends the session of a sign-in to the client, in the form that the client requested.

    Attributes:
        device: the device that signs in; its cookie is an argument of the sign-in functions.
        in_cookies: whether the tokens go into cookies, and not into the body.
    """

    device: KnownDevice
    in_cookies: bool

    def deliver(self, signed_in: SignedIn, *, remember: bool = True) -> Delivered:
        """Return the response of a sign-in.

        Args:
            remember: give this device its own sign-in limits for the account.
        """
        if remember:
            self.device.remember_account(signed_in.account)
        if not self.in_cookies:
            return signed_in.tokens
        response = Response(status_code=204)
        session_cookies.set_session(response, signed_in.tokens)
        # FastAPI adds the headers of the injected response only to a body that it renders.
        response.raw_headers += self.device.response.raw_headers
        return response


async def get_delivery(
    request: Request, device: Device, transport: Transport = None
) -> SessionDelivery:
    return SessionDelivery(device, session_cookies.requests_cookies(request.scope, transport))


Delivery = Annotated[SessionDelivery, Depends(get_delivery)]
"""How each route that signs in ends. A test refuses a route that reads the tokens itself:

    @router.post(
        "/login", response_model=TokenPair, responses=responses(Rejected, PermissionDenied, ...)
    )
    async def login(..., delivery: Delivery) -> Delivered:
        signed_in = await sessions.sign_in(..., delivery.device.cookie)
        return delivery.deliver(signed_in)
"""
