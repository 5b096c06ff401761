"""Second factors: which ones a user has, and the policy that requires one."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    and_,
    bindparam,
    delete,
    func,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.models import Factor, Identity, RecoveryCode, Session, TotpSecret, User
from plinth.config import settings

MAX_FACTORS = 10  # of one user
TOTP = "totp"
TWO_FACTORS = 2  # the authenticator assurance level of `Session.aal`


class Totp(NamedTuple):
    """
    Attributes:
        sealed: the encrypted secret; `key_id` names its key.
    """

    factor_id: UUID
    key_id: str
    sealed: bytes


class Counts(NamedTuple):
    """
    Attributes:
        users: active ones, as the next three.
        outdated: secrets of authenticator apps under an earlier key.
    """

    users: int
    users_with_factor: int
    superusers: int
    superusers_without_factor: int
    outdated: int


def is_required() -> ColumnElement[bool]:
    """Return whether `MFA_REQUIRED` requires a second factor of the user in the query.

    Bind the values of `policy`.
    """
    return or_(
        bindparam("required_of_all", type_=Boolean),
        and_(bindparam("required_of_superusers", type_=Boolean), User.is_superuser),
    )


def policy() -> dict[str, bool]:
    required = settings.MFA_REQUIRED
    return {
        "required_of_all": required == "all",
        "required_of_superusers": required == "superusers",
    }


def has_confirmed() -> ColumnElement[bool]:
    """Return whether the user in the query has a confirmed factor."""
    confirmed = Factor.confirmed_at.is_not(None)
    return select(Factor.id).where(Factor.user_id == User.id, confirmed).exists()


async def get_all(db: AsyncSession, user_id: int) -> Sequence[Factor]:
    """Return the factors of a user, oldest first, confirmed or not."""
    factors = select(Factor).where(Factor.user_id == user_id)
    return (await db.scalars(factors.order_by(Factor.created_at, Factor.id))).all()


async def get_confirmed_kinds(db: AsyncSession, user_id: int) -> Sequence[str]:
    kinds = select(Factor.kind).where(Factor.user_id == user_id, Factor.confirmed_at.is_not(None))
    return (await db.scalars(kinds.distinct().order_by(Factor.kind))).all()


async def add_totp(db: AsyncSession, user_id: int, name: str, key_id: str, sealed: bytes) -> UUID:
    """Add an unconfirmed authenticator app, and delete the user's other unconfirmed ones."""
    unconfirmed = (Factor.user_id == user_id, Factor.confirmed_at.is_(None), Factor.kind == TOTP)
    await db.execute(
        delete(Factor).where(*unconfirmed).execution_options(synchronize_session=False)
    )
    factor = Factor(user_id=user_id, kind=TOTP, name=name)
    db.add(factor)
    await db.flush()
    db.add(TotpSecret(factor_id=factor.id, key_id=key_id, sealed=sealed))
    await db.flush()
    return factor.id


async def get_totp(db: AsyncSession, user_id: int, *, confirmed: bool) -> Sequence[Totp]:
    state = Factor.confirmed_at.is_not(None) if confirmed else Factor.confirmed_at.is_(None)
    secrets = (
        select(TotpSecret.factor_id, TotpSecret.key_id, TotpSecret.sealed)
        .join(Factor, Factor.id == TotpSecret.factor_id)
        .where(Factor.user_id == user_id, state)
        .order_by(Factor.created_at, Factor.id)
    )
    return [Totp(*row) for row in await db.execute(secrets)]


async def use_step(db: AsyncSession, factor_id: UUID, step: int) -> bool:
    """Record the step of a code. Return False if this step or a later one was used before."""
    used = (
        update(TotpSecret)
        .where(TotpSecret.factor_id == factor_id, TotpSecret.last_step < step)
        .values(last_step=step)
        .returning(TotpSecret.factor_id)
        .execution_options(synchronize_session=False)
    )
    if await db.scalar(used) is None:
        return False
    await db.execute(
        update(Factor)
        .where(Factor.id == factor_id)
        .values(last_used_at=func.now())
        .execution_options(synchronize_session=False)
    )
    return True


async def replace_secret(db: AsyncSession, factor_id: UUID, key_id: str, sealed: bytes) -> None:
    """Store the same secret, encrypted with another key."""
    await db.execute(
        update(TotpSecret)
        .where(TotpSecret.factor_id == factor_id)
        .values(key_id=key_id, sealed=sealed)
        .execution_options(synchronize_session=False)
    )


async def lock_outdated_totp(
    db: AsyncSession, key_id: str, *, after: UUID, limit: int
) -> Sequence[tuple[int, Totp]]:
    """Lock a batch of secrets under other keys than this one. Return each with its user's id."""
    outdated = (
        select(Factor.user_id, TotpSecret.factor_id, TotpSecret.key_id, TotpSecret.sealed)
        .join(Factor, Factor.id == TotpSecret.factor_id)
        .where(TotpSecret.key_id != key_id, TotpSecret.factor_id > after)
        .order_by(TotpSecret.factor_id)
        .limit(limit)
        .with_for_update(of=TotpSecret)
    )
    rows = await db.execute(outdated)
    return [(row.user_id, Totp(row.factor_id, row.key_id, row.sealed)) for row in rows]


async def count(db: AsyncSession, key_id: str) -> Counts:
    """
    Args:
        key_id: of the current key.
    """
    outdated = select(func.count()).where(TotpSecret.key_id != key_id)
    counts = select(
        func.count(),
        func.count().filter(has_confirmed()),
        func.count().filter(User.is_superuser),
        func.count().filter(User.is_superuser, not_(has_confirmed())),
        outdated.scalar_subquery(),
    ).where(User.is_active)
    return Counts(*(await db.execute(counts)).one())


async def confirm(db: AsyncSession, factor_id: UUID) -> None:
    await db.execute(
        update(Factor)
        .where(Factor.id == factor_id, Factor.confirmed_at.is_(None))
        .values(confirmed_at=func.now())
        .execution_options(synchronize_session=False)
    )


async def get(db: AsyncSession, user_id: int, factor_id: UUID) -> Factor | None:
    """Return a factor of this user."""
    found = select(Factor).where(Factor.id == factor_id, Factor.user_id == user_id)
    return await db.scalar(found.execution_options(populate_existing=True))


async def rename(db: AsyncSession, user_id: int, factor_id: UUID, name: str) -> Factor | None:
    """Rename a factor of this user and return it."""
    factor = await get(db, user_id, factor_id)
    if factor is not None:
        factor.name = name
        await db.flush()
    return factor


async def remove(db: AsyncSession, user_id: int, factor_id: UUID) -> Factor | None:
    """Delete a factor of this user and return it."""
    factor = await get(db, user_id, factor_id)
    if factor is not None:
        await db.delete(factor)
        await db.flush()
    return factor


async def remove_all(db: AsyncSession, user_id: int) -> int:
    """Delete the factors and recovery codes of a user. Return the number of confirmed factors."""
    removed = await db.execute(
        delete(Factor)
        .where(Factor.user_id == user_id)
        .returning(Factor.confirmed_at)
        .execution_options(synchronize_session=False)
    )
    await replace_recovery_codes(db, user_id, ())
    return sum(row.confirmed_at is not None for row in removed)


async def remove_identities(db: AsyncSession, user_id: int) -> int:
    """Delete the identities of a user and return how many there were."""
    removed = await db.execute(
        delete(Identity)
        .where(Identity.user_id == user_id)
        .returning(Identity.id)
        .execution_options(synchronize_session=False)
    )
    return len(removed.all())


async def replace_recovery_codes(db: AsyncSession, user_id: int, hashes: Iterable[bytes]) -> None:
    await db.execute(
        delete(RecoveryCode)
        .where(RecoveryCode.user_id == user_id)
        .execution_options(synchronize_session=False)
    )
    rows = [{"user_id": user_id, "code_hash": it} for it in hashes]
    if rows:
        await db.execute(insert(RecoveryCode), rows)


async def use_recovery_code(db: AsyncSession, user_id: int, code_hash: bytes) -> bool:
    """Delete a recovery code. Of concurrent calls, one gets True."""
    used = (
        delete(RecoveryCode)
        .where(RecoveryCode.user_id == user_id, RecoveryCode.code_hash == code_hash)
        .returning(RecoveryCode.user_id)
        .execution_options(synchronize_session=False)
    )
    return await db.scalar(used) is not None


async def count_recovery_codes(db: AsyncSession, user_id: int) -> int:
    codes = select(func.count()).select_from(RecoveryCode).where(RecoveryCode.user_id == user_id)
    return await db.scalar(codes) or 0


async def change_epoch(db: AsyncSession, user: User) -> None:
    """Increment the user's `credential_epoch`, which voids device cookies and challenges."""
    user.credential_epoch += 1
    await db.flush()


async def raise_level(db: AsyncSession, session_id: UUID, *, aal: int, amr: str) -> None:
    """Record that the user of a session has authenticated again."""
    await db.execute(
        update(Session)
        .where(Session.id == session_id)
        .values(aal=func.greatest(Session.aal, aal), amr=amr, authenticated_at=func.now())
        .execution_options(synchronize_session=False)
    )
