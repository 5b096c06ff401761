"""Which user an account at a provider signs in (docs/how-to/identity-providers.md)."""

import secrets

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import providers, queries
from plinth.accounts.models import Identity, User
from plinth.accounts.providers import Profile
from plinth.accounts.services import accounts, audit, authentication, credentials
from plinth.accounts.services.authentication import InactiveUser
from plinth.accounts.services.mailbox import pre_hijacking
from plinth.db.database import after_commit
from plinth.errors import PermissionDenied, Rejected
from plinth.security.addresses import canonical
from plinth.security.passwords import NO_PASSWORD

MAX_BASE_LENGTH, SUFFIX_BYTES = 30, 4  # of a generated username


class NotLinked(PermissionDenied):
    code = "identity_not_linked"
    detail = "An account with this e-mail exists: sign in to it and link this provider there"
    commit_on_error = True  # keeps the audit event


class RegistrationClosed(PermissionDenied):
    code = "registration_closed"
    detail = "No account is linked to this identity, and this provider does not create accounts"
    commit_on_error = True


class EmailMissing(PermissionDenied):
    code = "email_missing"
    detail = "The identity provider sent no e-mail address that can be used"
    commit_on_error = True


class TooManyIdentities(Rejected):
    code = "too_many_identities"
    detail = f"An account can have {queries.identity.MAX_IDENTITIES} identities: remove one first"


async def find_or_create_user(db: AsyncSession, provider: str, profile: Profile) -> User:
    """Return the user whom an account at a provider signs in.

    Raises:
        EmailMissing
        InactiveUser
        NotLinked: an account has the address, and it cannot be linked automatically.
        ProviderNotFound: the provider was removed from the settings.
        RegistrationClosed
        WrongCredentials: the identity was removed during the request.
        Rejected: the username or the e-mail was taken during the request.
    """
    providers.find(provider)
    await queries.identity.lock_subject(db, profile.issuer, profile.subject)
    known = await queries.identity.find(db, profile.issuer, profile.subject)
    if known is not None:
        return await _use(db, provider, profile, known)
    if profile.email is None:
        _record(db, provider, "no usable e-mail address")
        raise EmailMissing
    user = await queries.user.lock_by_email(db, profile.email)
    if user is None:
        return await _register(db, provider, profile, profile.email)
    if user.is_verified:  # otherwise `claim` removes what was linked meanwhile
        known = await queries.identity.find(db, profile.issuer, profile.subject)
        if known is not None and known.user_id == user.id:
            return await _use(db, provider, profile, known)
    _require_linkable(db, provider, profile, user)
    _require_active(db, provider, user)
    if user.is_verified:
        await add(db, user, provider, profile)
    else:
        await pre_hijacking.claim(db, user)  # it notifies the owner and changes the epoch
        await _add(db, user, provider, profile)
    return user


async def add(db: AsyncSession, user: User, provider: str, profile: Profile) -> Identity:
    """Link an identity to a user whose row is locked.

    Raises:
        Rejected: it is linked to another user.
        TooManyIdentities
    """
    if len(await queries.identity.get_all(db, user.id)) >= queries.identity.MAX_IDENTITIES:
        raise TooManyIdentities
    identity = await _add(db, user, provider, profile)
    await queries.factor.change_epoch(db, user)
    await credentials.notify(
        db, user, "identity_linked", page=credentials.FORGOT_PAGE, provider=provider
    )
    return identity


async def _use(db: AsyncSession, provider: str, profile: Profile, known: Identity) -> User:
    # Lock the user before the identity, as a removal does, to avoid a deadlock.
    user = await accounts.get_locked(db, known.user_id)
    _require_active(db, provider, user)
    if not await queries.identity.record_use(db, known.id, provider, profile.email):
        await authentication.reject_changed_user(db, user.id)
    return user


def _require_active(db: AsyncSession, provider: str, user: User) -> None:
    if not user.is_active:
        _record(db, provider, "inactive user", user.id)
        raise InactiveUser


def _require_linkable(db: AsyncSession, provider: str, profile: Profile, user: User) -> None:
    """Require that the provider verified the address, and may link.

    An account with an unverified address may be a stranger's trap; `claim` empties it.
    """
    is_same = canonical(user.email) == canonical(profile.email or "")
    if not (profile.email_verified and is_same and providers.find(provider).link_verified):
        _record(db, provider, "the address belongs to an account without this identity", user.id)
        raise NotLinked


async def _register(db: AsyncSession, provider: str, profile: Profile, email: str) -> User:
    if not providers.find(provider).allow_registration:
        _record(db, provider, "registration is closed")
        raise RegistrationClosed
    values = {
        "email": email,
        "username": await _find_free_username(db, profile.username or "user"),
        "full_name": profile.full_name,
        "hashed_password": NO_PASSWORD,
        "is_verified": profile.email_verified,
    }
    user = await queries.user.add(db, values)
    audit.record(db, "user.registered", actor_id=user.id, subject_id=user.id, reason=provider)
    after_commit(db, lambda: accounts.count_users.forget(db))
    if not user.is_verified:
        await credentials.send_verification(db, user)
    await _add(db, user, provider, profile)
    return user


async def _add(db: AsyncSession, user: User, provider: str, profile: Profile) -> Identity:
    audit.record(db, "identity.linked", actor_id=user.id, subject_id=user.id, reason=provider)
    return await queries.identity.add(
        db,
        user.id,
        provider=provider,
        issuer=profile.issuer,
        subject=profile.subject,
        email=profile.email,
    )


async def _find_free_username(db: AsyncSession, proposed: str) -> str:
    if proposed != "user" and await queries.user.get_by_username(db, username=proposed) is None:
        return proposed
    return f"{proposed[:MAX_BASE_LENGTH]}-{secrets.token_hex(SUFFIX_BYTES)}"


def _record(db: AsyncSession, provider: str, reason: str, user_id: int | None = None) -> None:
    audit.record(
        db,
        "identity.refused",
        outcome="failure",
        subject_id=user_id,
        reason=f"{provider}: {reason}",
    )
