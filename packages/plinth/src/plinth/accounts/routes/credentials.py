"""Routes for the links in mails. They use POST, since mail scanners open links with GET."""

from fastapi import APIRouter

from plinth.accounts import queries
from plinth.accounts.deps import Device, DirectUser, OptionalUser
from plinth.accounts.schemas.auth import (
    Accepted,
    EmailVerification,
    ForgottenPassword,
    PasswordReset,
)
from plinth.accounts.services import authentication, credentials, throttle
from plinth.errors import PermissionDenied, RateLimited, Rejected, Unavailable
from plinth.http.problems import responses
from plinth.resources.access import PUBLIC, USER, access
from plinth.resources.deps import DB, Client

public_router = APIRouter(prefix="/auth", tags=["auth"])
private_router = APIRouter(prefix="/auth", tags=["auth"])


@public_router.post(
    "/password/forgot", status_code=202, responses=responses(RateLimited, Unavailable)
)
@access(PUBLIC, queries=2)
async def forgot_password(
    db: DB, forgotten: ForgottenPassword, client: Client, device: Device
) -> Accepted:
    """Send a mail with a link to set a new password.

    The response is the same whether or not the account exists.
    """
    known = await authentication.find_device(db, forgotten.email, device.cookie)
    await throttle.limit_mail_request("forgot", forgotten.email, client, known)
    await credentials.request_reset(db, forgotten.email)
    return Accepted(message="If an account has this e-mail, a mail is on its way to it")


@public_router.post("/password/reset", status_code=204, responses=responses(Rejected, Unavailable))
@access(PUBLIC, queries=10)
async def reset_password(db: DB, reset: PasswordReset, device: Device) -> None:
    """Set a new password with the token of a mail. The token can be used once. All sessions end."""
    user = await credentials.reset_password(db, reset.token, reset.password)
    # The new password invalidates all device cookies. Without a new one, this device would share
    # its sign-in limits with strangers who guess the password.
    # With a second factor, it would get its own attempts with codes as well.
    if not await queries.factor.get_confirmed_kinds(db, user.id):
        device.remember(user)


@public_router.post(
    "/email/verify", status_code=204, responses=responses(Rejected, PermissionDenied, Unavailable)
)
@access(PUBLIC, queries=7)
async def verify_email(
    db: DB, user: OptionalUser, device: Device, verification: EmailVerification
) -> None:
    """Verify an address with the token that was mailed to it. A new address takes effect.

    Send the request signed in to the account, or with the cookies of a browser in which the account
    registered or signed in. Otherwise the response is 403 `not_signed_in`, and the token stays
    valid.
    """
    # A superuser who impersonates the user has not signed in to the account.
    signed_in_as = user.id if user and user.acting_user_id is None else None
    owner = await credentials.verify_email(
        db, verification.token, signed_in_as=signed_in_as, device=device.cookie
    )
    device.remember(owner)


@private_router.post(
    "/email/resend", status_code=202, responses=responses(PermissionDenied, RateLimited)
)
@access(USER, queries=5)
async def resend_verification(db: DB, user: DirectUser) -> Accepted:
    """Send the verification mail again, if an address is not verified yet."""
    await throttle.limit_verification(user.id)
    await credentials.resend_verification(db, user.id)
    return Accepted(message="If an address waits to be verified, a mail is on its way to it")
