"""Canonical forms of addresses that plain SQL or an older release wrote."""

from collections.abc import Sequence

from sqlalchemy import Text, any_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.models import User
from plinth.db.reading import array_param
from plinth.security.addresses import UNUSUAL, Account

_accounts = select(User.id, User.email, User.is_verified, User.email_canonical)
_unusual = _accounts.where(User.email_canonical.regexp_match(UNUSUAL))
_holders = _accounts.where(User.email_canonical == any_(array_param("forms", Text())))


async def get_unusual(db: AsyncSession) -> Sequence[Account]:
    """Accounts whose key may not be canonical. The whole table is read: a second for a million."""
    return [Account(*row) for row in await db.execute(_unusual)]


async def get_holders(db: AsyncSession, forms: Sequence[str]) -> Sequence[Account]:
    return [Account(*row) for row in await db.execute(_holders, {"forms": forms})]


async def set_key(db: AsyncSession, account: Account, key: str) -> None:
    """Do nothing where the account's address is another by now.

    Raises:
        IntegrityError: another account got this key meanwhile.
    """
    await db.execute(
        update(User)
        .where(User.id == account.id, User.email == account.email)
        .values(email_canonical=key)
        .execution_options(synchronize_session=False)
    )
