"""The identities of a signed-in user: list, link and remove.

Each change increments the user's `credential_epoch` and notifies the owner.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from urllib.parse import urlencode
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import providers, queries
from plinth.accounts.models import Identity
from plinth.accounts.queries.principal import Principal
from plinth.accounts.services import accounts, audit, challenges, credentials, factors
from plinth.accounts.services.identities import codes, flow, linking
from plinth.accounts.services.identities.codes import Target
from plinth.errors import NotFound, PermissionDenied, Rejected

TICKET_LIFETIME = timedelta(seconds=60)


class IdentityNotFound(NotFound):
    code = "identity_not_found"
    detail = "Identity not found"


class IdentityTaken(Rejected):
    code = "identity_taken"
    detail = "This identity is linked to another account"


class OtherSession(PermissionDenied):
    code = "other_session"
    detail = "Linking began in another session: start again"
    commit_on_error = True  # uses up the code


async def list_identities(db: AsyncSession, user_id: int) -> Sequence[Identity]:
    return await queries.identity.get_all(db, user_id)


async def start(db: AsyncSession, caller: Principal, name: str, target: Target) -> str:
    """Begin to link an identity, and return the URL that the browser must open.

    Raises:
        ProviderNotFound
    """
    providers.find(name)
    user = await accounts.lock_caller(db, caller.id, caller.session_id)
    content = asdict(target) | {"session_id": str(caller.session_id), "provider": name}
    ticket, _ = await challenges.add(db, flow.LINK, TICKET_LIFETIME, user=user, content=content)
    return f"{flow.make_url_of(name)}/link?{urlencode({'ticket': ticket.text})}"


async def link(db: AsyncSession, caller: Principal, code: str, verifier: str) -> Identity:
    """Link the identity of a code of `flow.receive`, in the session that began it.

    Raises:
        IdentityTaken
        InvalidChallenge: the code expired, was used, or the credentials changed meanwhile.
        InvalidVerifier
        OtherSession
        TooManyIdentities
    """
    user = await accounts.lock_caller(db, caller.id, caller.session_id)
    proof = await codes.use_code(db, codes.LINK, code, verifier)
    if (proof.user_id, proof.session_id) != (caller.id, caller.session_id):
        codes.record_refusal(db, proof.provider, "link code of another session", proof.user_id)
        raise OtherSession
    profile = proof.profile
    known = await queries.identity.find(db, profile.issuer, profile.subject)
    if known is None:
        return await linking.add(db, user, proof.provider, profile)
    if known.user_id != user.id:
        raise IdentityTaken
    return known


async def remove(db: AsyncSession, caller: Principal, identity_id: UUID) -> None:
    """Remove an identity. The caller's session stays; the others end.

    Raises:
        IdentityNotFound
        LastWayIn
    """
    user = await accounts.lock_caller(db, caller.id, caller.session_id)
    identity = await queries.identity.remove(db, user.id, identity_id)
    if identity is None:
        raise IdentityNotFound
    await factors.require_way_in(db, user)
    await queries.session.revoke_all(db, user.id, "identity removed", keep=caller.session_id)
    await queries.factor.change_epoch(db, user)
    audit.record(db, "identity.removed", subject_id=user.id, reason=identity.provider)
    await credentials.notify(
        db,
        user,
        "identity_removed",
        page=credentials.FORGOT_PAGE,
        provider=identity.provider,
    )
