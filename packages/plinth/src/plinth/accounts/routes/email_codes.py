"""Routes for sign-in with a code by mail. They exist with `EMAIL_CODES=true`.

A code is used up by POST only, since mail scanners open links with GET.
"""

from fastapi import APIRouter, Depends

from plinth.accounts.deps import Delivered, Delivery, Device
from plinth.accounts.schemas.auth import (
    EmailCode,
    EmailCodeRequest,
    EmailCodeRequested,
    TokenPair,
)
from plinth.accounts.services import authentication, throttle
from plinth.accounts.services.mailbox import email_codes
from plinth.config import settings
from plinth.errors import NotFound, PermissionDenied, RateLimited, Rejected, Unavailable
from plinth.http.problems import responses
from plinth.resources.access import PUBLIC, access
from plinth.resources.deps import DB, Client, DatabaseDep


async def require_email_codes() -> None:
    """
    Raises:
        NotFound: `EMAIL_CODES` is false.
    """
    if not settings.EMAIL_CODES:
        raise NotFound


router = APIRouter(dependencies=[Depends(require_email_codes)])


@router.post(
    "/email-code",
    status_code=202,
    response_model=EmailCodeRequested,
    responses=responses(NotFound, RateLimited, Unavailable),
)
@access(PUBLIC, queries=3)
async def request_email_code(
    db: DB, requested: EmailCodeRequest, client: Client, device: Device
) -> email_codes.RequestedCode:
    """Send a mail with a code to sign in, if the account exists. `EMAIL_CODES` enables this.

    The response is the same whether or not the account exists. An earlier code becomes invalid.
    """
    known = await authentication.find_device(db, requested.email, device.cookie)
    await throttle.limit_mail_request("code", requested.email, client, known)
    return await email_codes.request(db, requested.email)


@router.post(
    "/email-code/verify",
    response_model=TokenPair,
    responses=responses(NotFound, Rejected, PermissionDenied, RateLimited, Unavailable),
)
@access(PUBLIC, queries=14)
async def verify_email_code(
    database: DatabaseDep, proof: EmailCode, client: Client, delivery: Delivery
) -> Delivered:
    """Sign in with a code that was mailed, and the challenge of the request for it.

    This verifies the address. An account whose address was never verified loses its password and
    its second factors, unless it was registered or used on this device: someone else may have
    registered it.
    """
    signed_in = await email_codes.sign_in(
        database, proof.challenge, proof.code, client, delivery.device.cookie
    )
    return delivery.deliver(signed_in)
