"""What a route asks for, as types: `db: DB`, `user: CurrentUser`, `page: Offset`."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Query, Request, Response
from fastapi.security import OAuth2PasswordBearer
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from plinth.core import client, devices
from plinth.core.batching import Batcher
from plinth.core.config import settings
from plinth.core.cookies import find_cookie
from plinth.core.database import Database
from plinth.core.errors import Denied, Unauthenticated
from plinth.core.fetch_site import is_cross_site
from plinth.core.headers import find_header
from plinth.core.health import Readiness
from plinth.core.reading import Reader
from plinth.core.request import current_request
from plinth.crud.principal import Principal
from plinth.crud.session import Rotation
from plinth.schemas.fields import LARGEST_ID
from plinth.services import sessions
from plinth.services.recognition import InactiveUser


@dataclass(frozen=True, slots=True)
class Resources:
    """What lives as long as the process; the lifespan in `main.py` puts it on `app.state`."""

    database: Database
    principals: Batcher[UUID, Principal]
    rotations: Batcher[Rotation, int]
    readiness: Readiness


def resources_of(request: Request) -> Resources:
    found: Resources = request.app.state.resources
    return found


async def get_db(request: Request) -> AsyncIterator[AsyncSession]:
    async with resources_of(request).database.transaction() as session:
        yield session


# Function-scoped: the transaction is committed before the answer is sent, so that a yes is durable.
# Always this alias, and never a bare Depends(get_db): that would open a second session.
DB = Annotated[AsyncSession, Depends(get_db, scope="function")]


async def get_database(request: Request) -> Database:
    return resources_of(request).database


# For routes whose service decides itself when a transaction begins.
WholeDB = Annotated[Database, Depends(get_database)]


async def get_reader(request: Request) -> Reader:
    return resources_of(request).database.reader


async def get_rotations(request: Request) -> Batcher[Rotation, int]:
    return resources_of(request).rotations


Rotations = Annotated[Batcher[Rotation, int], Depends(get_rotations)]


# For routes that only read: no session, no transaction, and no connection until a query is sent.
ReadDB = Annotated[Reader, Depends(get_reader)]


class _Bearer(OAuth2PasswordBearer):
    async def __call__(self, request: HTTPConnection) -> str | None:
        """As the library, which makes an object of all headers to look at one."""
        said = find_header(request.scope, b"authorization") or ""
        scheme, _, token = said.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None


oauth2_scheme = _Bearer(
    tokenUrl=f"{settings.ROOT_PATH}{settings.API_V1_PREFIX}/auth/token",
    description="`username` is the e-mail; `client_id` and `client_secret` stay empty.",
    scheme_name="OAuth2PasswordBearer",
    auto_error=False,
)
BearerToken = Annotated[str | None, Depends(oauth2_scheme)]


async def get_current_user(request: Request, token: BearerToken) -> Principal:
    if token is None:
        raise Unauthenticated
    user = await sessions.authenticate(resources_of(request).principals, token)
    if info := current_request():
        info.user_id, info.session_id = user.id, user.session_id
    return user


CurrentUser = Annotated[Principal, Depends(get_current_user)]


async def get_optional_user(request: Request, token: BearerToken) -> Principal | None:
    """The user, or None for a guest: one without a token, or whose token does not hold."""
    try:
        return await get_current_user(request, token)
    except (Unauthenticated, InactiveUser):
        return None


OptionalUser = Annotated[Principal | None, Depends(get_optional_user)]


async def get_superuser(user: CurrentUser) -> Principal:
    if not user.is_superuser:
        raise Denied
    return user


Superuser = Annotated[Principal, Depends(get_superuser)]


async def get_verified_user(user: CurrentUser) -> Principal:
    if not user.is_verified:
        raise Denied("Confirm your e-mail address first", code="unverified")
    return user


VerifiedUser = Annotated[Principal, Depends(get_verified_user)]


async def get_client() -> client.Client:
    request = current_request()
    return request.client if request else client.Client(None, None)


Client = Annotated[client.Client, Depends(get_client)]


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """
    Attributes:
        cookie: as it was sent, good or not.
    """

    cookie: str | None
    request: Request
    response: Response

    def remember(self, account: devices.Account) -> None:
        """From now on this device has limits of its own for this account. A form on another site's
        page, sent by somebody's browser, would replace the cookie that this browser has."""
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


Skip = Annotated[int, Query(ge=0, le=LARGEST_ID, description="How many to leave out.")]
Limit = Annotated[int, Query(ge=1, le=settings.MAX_PAGE_SIZE, description="The most to give.")]
RowId = Annotated[int, Path(ge=1, le=LARGEST_ID)]
UserId = RowId
