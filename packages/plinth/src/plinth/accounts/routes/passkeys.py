"""Routes for passkeys. `routes/auth.py` and `routes/user_sessions.py` include them."""

from fastapi import APIRouter

from plinth.accounts.deps import Delivered, Delivery, DirectUser, FreshUser
from plinth.accounts.models import Factor
from plinth.accounts.schemas.auth import TokenPair
from plinth.accounts.schemas.factor import FactorOut, PasskeyToAdd, PendingSignIn
from plinth.accounts.schemas.passkey import AssertionCredential, CreationOptions, RequestOptions
from plinth.accounts.services import second_factor
from plinth.accounts.services.passkeys import assertion, registration
from plinth.errors import PermissionDenied, RateLimited, Rejected, Unauthenticated, Unavailable
from plinth.http.problems import responses
from plinth.resources.access import PUBLIC, USER, access
from plinth.resources.deps import DB, Client, DatabaseDep

public_router = APIRouter()
private_router = APIRouter()
factors_router = APIRouter(prefix="/me", tags=["second factors"])


@public_router.post(
    "/passkey/options",
    responses=responses(RateLimited, Unavailable),
)
@access(PUBLIC, queries=3)
async def begin_passkey_sign_in(database: DatabaseDep, client: Client) -> RequestOptions:
    """Begin a sign-in by passkey: the options for `navigator.credentials.get()`."""
    return await assertion.begin_sign_in(database, client)


@public_router.post(
    "/passkey",
    response_model=TokenPair,
    responses=responses(Rejected, Unauthenticated, RateLimited, Unavailable),
)
@access(PUBLIC, queries=14)
async def sign_in_by_passkey(
    database: DatabaseDep, credential: AssertionCredential, client: Client, delivery: Delivery
) -> Delivered:
    """Sign in with a passkey that verified its user, such as by a PIN or a fingerprint."""
    return delivery.deliver(await assertion.sign_in(database, credential.content, client))


@public_router.post(
    "/mfa/passkey/options",
    responses=responses(Rejected, Unavailable),
)
@access(PUBLIC, queries=6)
async def begin_passkey_factor(database: DatabaseDep, pending: PendingSignIn) -> RequestOptions:
    """Return the options to complete a sign-in with a passkey by `POST /auth/mfa`."""
    return await second_factor.begin_passkey(database, pending.challenge)


@public_router.post(
    "/mfa/passkey/new",
    responses=responses(Rejected, Unavailable),
)
@access(PUBLIC, queries=6)
async def begin_first_passkey(database: DatabaseDep, pending: PendingSignIn) -> CreationOptions:
    """Return the options to add a passkey to an account that needs a second factor and has none.

    Then complete the sign-in with `POST /auth/mfa` and the method `new_passkey`.
    """
    return await second_factor.begin_new_passkey(database, pending.challenge)


@private_router.post("/step-up/passkey/options", responses=responses(PermissionDenied))
@access(USER, queries=8)
async def begin_passkey_step_up(db: DB, user: DirectUser) -> RequestOptions:
    """Return the options to authenticate again with a passkey by `POST /auth/step-up`."""
    return await assertion.begin_step_up(db, user)


@factors_router.post(
    "/factors/passkey/options",
    responses=responses(PermissionDenied),
)
@access(USER, queries=10, fresh=True)
async def begin_passkey(db: DB, user: FreshUser) -> CreationOptions:
    """Begin to add a passkey: the options for `navigator.credentials.create()`."""
    return await registration.begin(db, user)


@factors_router.post(
    "/factors/passkey",
    response_model=FactorOut,
    status_code=201,
    responses=responses(PermissionDenied),
)
@access(USER, queries=19, fresh=True)
async def add_passkey(db: DB, user: FreshUser, passkey: PasskeyToAdd) -> Factor:
    """Add a passkey. It counts at once, and your other sessions end."""
    return await registration.register(db, user, passkey.name, passkey.credential.content)
