"""Routes for second factors: sign-in, step-up, enrollment and recovery codes.

`routes/auth.py` and `routes/user_sessions.py` include them, so that applications have them.
"""

from uuid import UUID

from fastapi import APIRouter

from plinth.accounts.deps import CurrentUser, Delivered, Delivery, DirectUser, FreshUser
from plinth.accounts.methods.totp import NewTotp
from plinth.accounts.models import Factor
from plinth.accounts.schemas.auth import TokenPair
from plinth.accounts.schemas.factor import (
    AnyFactor,
    FactorCode,
    FactorName,
    FactorOut,
    FactorToAdd,
    FirstFactor,
    NewPasskeyFactor,
    NewTotpOut,
    PasskeyFactor,
    RecoveryCodes,
    StepUp,
)
from plinth.accounts.services import factors, second_factor
from plinth.errors import (
    NotFound,
    PermissionDenied,
    RateLimited,
    Rejected,
    Unavailable,
)
from plinth.http.problems import responses
from plinth.resources.access import OWNER, PUBLIC, USER, access
from plinth.resources.deps import DB, Client, DatabaseDep

public_router = APIRouter()
private_router = APIRouter()
factors_router = APIRouter(prefix="/me", tags=["second factors"])


@public_router.post(
    "/mfa",
    response_model=TokenPair,
    responses=responses(Rejected, PermissionDenied, RateLimited, Unavailable),
)
@access(PUBLIC, queries=14)
async def complete_sign_in(
    database: DatabaseDep, factor: AnyFactor, client: Client, delivery: Delivery
) -> Delivered:
    """Complete a sign-in that was answered with 403 `mfa_required`."""
    proof, cookie = _to_proof(factor), delivery.device.cookie
    return delivery.deliver(await second_factor.complete(database, proof, client, cookie))


@public_router.post(
    "/mfa/totp",
    response_model=NewTotpOut,
    status_code=201,
    responses=responses(Rejected, Unavailable),
)
@access(PUBLIC, queries=6)
async def add_first_totp(database: DatabaseDep, factor: FirstFactor) -> NewTotp:
    """Add an authenticator app to an account that needs a second factor and has none.

    Then complete the sign-in with `POST /auth/mfa` and a code of the app.
    """
    return await second_factor.add_totp(database, factor.challenge, factor.name)


@private_router.post(
    "/step-up", status_code=204, responses=responses(PermissionDenied, RateLimited)
)
@access(USER, queries=10)
async def step_up(db: DB, user: DirectUser, proof: StepUp) -> None:
    """Authenticate again, for routes that answer 403 `step_up_required`."""
    await second_factor.step_up(db, user, proof.method, proof.secret)


@factors_router.get("/factors", response_model=list[FactorOut])
@access(USER, queries=2)
async def list_factors(db: DB, user: CurrentUser) -> list[Factor]:
    """List your second factors, oldest first."""
    return list(await factors.list_factors(db, user.id))


@factors_router.post(
    "/factors/totp",
    response_model=NewTotpOut,
    status_code=201,
    responses=responses(PermissionDenied),
)
@access(USER, queries=8, fresh=True)
async def add_totp(db: DB, user: FreshUser, factor: FactorToAdd) -> NewTotp:
    """Add an authenticator app. It counts once it is confirmed with a code."""
    return await factors.add_totp(db, user, factor.name)


@factors_router.post(
    "/factors/{factor_id}/confirm",
    status_code=204,
    responses=responses(PermissionDenied, NotFound, RateLimited),
)
@access(OWNER, queries=14, fresh=True)
async def confirm_factor(db: DB, user: FreshUser, factor_id: UUID, proof: FactorCode) -> None:
    """Confirm an authenticator app with a code of it. Your other sessions end."""
    await factors.confirm(db, user, factor_id, proof.code)


@factors_router.patch(
    "/factors/{factor_id}",
    response_model=FactorOut,
    responses=responses(PermissionDenied, NotFound),
)
@access(OWNER, queries=3)
async def rename_factor(db: DB, user: DirectUser, factor_id: UUID, change: FactorName) -> Factor:
    """Rename a second factor."""
    return await factors.rename(db, user.id, factor_id, change.name)


@factors_router.delete(
    "/factors/{factor_id}",
    status_code=204,
    responses=responses(PermissionDenied, NotFound),
)
@access(OWNER, queries=12, fresh=True)
async def remove_factor(db: DB, user: FreshUser, factor_id: UUID) -> None:
    """Remove a second factor. With the last one, the recovery codes are removed as well."""
    await factors.remove(db, user, factor_id)


@factors_router.post("/recovery-codes", status_code=201, responses=responses(PermissionDenied))
@access(USER, queries=10, fresh=True)
async def make_recovery_codes(db: DB, user: FreshUser) -> RecoveryCodes:
    """Replace your recovery codes. Each one replaces a second factor once."""
    return RecoveryCodes(codes=await factors.make_recovery_codes(db, user))


def _to_proof(factor: AnyFactor) -> second_factor.AnyProof:
    if isinstance(factor, PasskeyFactor):
        return second_factor.PasskeyProof(factor.challenge, factor.credential.content)
    if isinstance(factor, NewPasskeyFactor):
        return second_factor.NewPasskeyProof(
            factor.challenge, factor.credential.content, factor.name
        )
    return second_factor.Proof(factor.challenge, factor.method, factor.code)
