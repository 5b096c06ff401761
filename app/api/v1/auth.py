"""Registration. The other routes under `/auth` are the library's."""

from fastapi import APIRouter

from app.api.deps import DB, Client, Device
from app.schemas.user import UserCreate, UserResponse
from plinth import accounts
from plinth.accounts import BaseUser
from plinth.accounts.services import throttle
from plinth.errors import Rejected, TooMany, Unavailable
from plinth.http.problems import responses
from plinth.resources.access import PUBLIC, access
from plinth.security.devices import Account

router = APIRouter(prefix="/auth", tags=["auth"])


@router.post(
    "/register",
    status_code=201,
    response_model=UserResponse,
    responses=responses(Rejected, TooMany, Unavailable),
)
@access(PUBLIC, queries=4)
async def register(db: DB, account: UserCreate, client: Client, device: Device) -> BaseUser:
    await throttle.register(client)
    user = await accounts.register(db, account)
    # By it the link in the mail is known to be opened by its owner.
    device.remember(Account(user.id, user.credential_epoch))
    return user
