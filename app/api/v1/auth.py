"""Registration. The library has the other routes under `/auth`.

To close it, remove `auth.router` from PUBLIC in `app/api/v1/__init__.py`, and set
`"allow_registration": false` for each provider of `OIDC_PROVIDERS`.
"""

from fastapi import APIRouter

from app.api.deps import DB, Client, Device
from app.schemas.user import UserCreate, UserResponse
from plinth import accounts
from plinth.accounts import BaseUser
from plinth.errors import RateLimited, Rejected, Unavailable
from plinth.http import responses
from plinth.resources import PUBLIC, access

router = APIRouter(prefix="/auth", tags=["auth"])


@router.post(
    "/register",
    status_code=201,
    response_model=UserResponse,
    responses=responses(Rejected, RateLimited, Unavailable),
)
@access(PUBLIC, queries=4)
async def register(db: DB, account: UserCreate, client: Client, device: Device) -> BaseUser:
    await accounts.limit_registration(client)
    user = await accounts.register(db, account)
    device.remember(user)  # proves, when the verification link is opened, that its owner does
    return user
