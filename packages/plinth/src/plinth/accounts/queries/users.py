from collections.abc import AsyncIterator, Sequence
from typing import TypeVarTuple

from sqlalchemy import Select, Text, any_, bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.base_user import SEARCHED
from plinth.accounts.models import User
from plinth.accounts.schemas.user import UserAdminUpdate, UserCreate, UserUpdate
from plinth.db.database import release
from plinth.db.reading import (
    Query,
    Readable,
    array_param,
    force_custom_plan,
    read_all,
    read_one,
    select_columns,
)
from plinth.limits.sign_in import reserve_sign_in
from plinth.request.client import Client
from plinth.request.context import current_request
from plinth.resources.conditions import contains, contains_by_trigram, like_pattern
from plinth.resources.crud import CRUDBase
from plinth.resources.listing import FilterKind, Listing
from plinth.security.addresses import UNUSUAL, Account, lookup_keys
from plinth.security.passwords import NO_PASSWORD, Verdict, hash_password, verify_password

Columns = TypeVarTuple("Columns")

_page_of_matches = (
    select_columns(User)
    .where(contains_by_trigram(User, SEARCHED, "query"), force_custom_plan())
    .order_by(User.id)
    .offset(bindparam("skip"))
    .limit(bindparam("limit"))
)
_search_query = Query(_page_of_matches)
_search_names_query = Query(
    _page_of_matches.where(contains(User.username, "query") | contains(User.full_name, "query"))
)


def filter_by_email(statement: Select[*Columns]) -> Select[*Columns]:
    """Restrict `statement` to the account of an address.

    Pass `lookup_keys(address)` as the parameter `keys`. If several accounts match, the first key
    takes precedence.
    """
    keys = array_param("keys", Text())
    return (
        statement.where(User.email_canonical == any_(keys))
        .order_by(func.array_position(keys, User.email_canonical))
        .limit(1)
    )


_by_email = filter_by_email(select(User))
_lock_by_email = _by_email.with_for_update()
_count_query = Query(select(func.count().label("total")).select_from(User))
_addresses = select(User.id, User.email, User.is_verified, User.email_canonical)
_unusual_addresses = _addresses.where(User.email_canonical.regexp_match(UNUSUAL))
_address_holders = _addresses.where(User.email_canonical == any_(array_param("forms", Text())))


class CRUDUser(CRUDBase[User, UserCreate, UserUpdate | UserAdminUpdate]):
    listing = Listing(
        User,
        sort=("id", "created_at", "email", "username"),
        default="id",
        filters={
            "is_active": FilterKind.EQUALS,
            "is_superuser": FilterKind.EQUALS,
            "is_verified": FilterKind.EQUALS,
            "created_at": FilterKind.RANGE,
        },
        search=SEARCHED,
    )

    async def create(self, db: AsyncSession, *, obj_in: UserCreate) -> User:
        """
        Raises:
            Unavailable: the queue of passwords to hash is full.
        """
        values = obj_in.model_dump(exclude={"password"})
        values["hashed_password"] = await hash_password(obj_in.password)
        return await self.add(db, values)

    async def update(
        self, db: AsyncSession, *, db_obj: User, obj_in: UserUpdate | UserAdminUpdate
    ) -> User:
        """
        Raises:
            Unavailable: the queue of passwords to hash is full.
        """
        values = obj_in.model_dump(exclude_unset=True, exclude={"current_password"})
        if password := values.pop("password", None):
            values["hashed_password"] = await hash_password(password)
        return await self.change(db, db_obj, values)

    async def get_by_email(self, db: AsyncSession, *, email: str) -> User | None:
        """Return the account of an address, in any spelling (`security/addresses.py`)."""
        account: User | None = await db.scalar(_by_email, {"keys": lookup_keys(email)})
        return account

    async def lock_by_email(self, db: AsyncSession, email: str) -> User | None:
        """Return the account of an address, in any spelling, and lock the row."""
        account: User | None = await db.scalar(
            _lock_by_email,
            {"keys": lookup_keys(email)},
            execution_options={"populate_existing": True},
        )
        return account

    async def get_by_username(self, db: AsyncSession, *, username: str) -> User | None:
        return await db.scalar(
            select(User).where(func.lower(User.username) == func.lower(username))
        )

    async def search_users(
        self, db: Readable, *, query: str, skip: int = 0, limit: int = 20, emails: bool = True
    ) -> Sequence[User]:
        """Return users whose e-mail, username or full name contains `query`, ignoring case.

        Args:
            emails: search e-mails as well. Pass False for a caller who may not read them: a search
                would let them guess an e-mail letter by letter.
        """
        statement = _search_query if emails else _search_names_query
        return await read_all(db, statement, query=like_pattern(query), skip=skip, limit=limit)

    async def lacks_password(self, db: AsyncSession, user_id: int) -> bool:
        found = select(User.id).where(User.id == user_id, User.hashed_password == NO_PASSWORD)
        return await db.scalar(found) is not None

    async def count(self, db: Readable) -> int:
        """Count all users. This reads the whole table."""
        row = await read_one(db, _count_query)
        return row.total if row else 0

    async def get_active_users(
        self, db: AsyncSession, *, skip: int = 0, limit: int = 100
    ) -> Sequence[User]:
        """Return active users, newest first."""
        newest = (
            select(User)
            .where(User.is_active)
            .order_by(User.created_at.desc(), User.id.desc())
            .offset(skip)
            .limit(limit)
        )
        return (await db.scalars(newest)).all()

    async def stream(self, db: AsyncSession) -> AsyncIterator[User]:
        """Yield all users by id, from one snapshot, with a server-side cursor."""
        rows = await db.stream_scalars(
            select(User).order_by(User.id).execution_options(yield_per=1000)
        )
        async for row in rows:
            yield row
            db.expunge(row)

    async def lock_superusers(self, db: AsyncSession) -> Sequence[int]:
        """Lock the active superusers until the transaction ends, and return their ids."""
        locked = (
            select(User.id)
            .where(User.is_superuser, User.is_active)
            .order_by(User.id)  # a fixed lock order prevents deadlocks
            .with_for_update()
        )
        return (await db.scalars(locked)).all()

    async def authenticate(self, db: AsyncSession, *, email: str, password: str) -> User | None:
        """Return the user with this e-mail and password, active or not. Do not start a session.

        Failures count toward the limits of the sign-in routes, as from an unknown device. An
        unknown e-mail costs the same work as a known one. The connection is released while the
        password is hashed. An outdated hash is replaced.

        Raises:
            RateLimited
            Unavailable: the queue of passwords to hash is full.
        """
        request = current_request()
        client = request.client if request else Client(None, None)
        attempt = await reserve_sign_in(email, client)
        try:
            user = await self._find_by_password(db, email, password)
        except Exception:
            await attempt.refund()  # the result does not reveal whether the password is right
            raise
        if user is not None:
            await attempt.refund()
        return user

    async def _find_by_password(self, db: AsyncSession, email: str, password: str) -> User | None:
        user = await self.get_by_email(db, email=email)
        await release(db)
        stored = user.hashed_password if user else None
        verdict = await verify_password(password, stored)
        if user is None or not verdict:
            return None
        if verdict is Verdict.RIGHT_BUT_OLD:
            renewed = await self.renew_hash(db, user.id, user.hashed_password, password)
            return None if renewed is None else user
        return user

    async def renew_hash(
        self, db: AsyncSession, user_id: int, stored: str, password: str
    ) -> int | None:
        """Replace an outdated hash with an argon2 hash of the same password.

        Returns:
            The user's `credential_epoch` afterwards, or None if the password changed meanwhile.

        Raises:
            Unavailable: the queue of passwords to hash is full.
        """
        new = await hash_password(password)
        if (epoch := await self.replace_hash(db, user_id, stored, new)) is not None:
            return epoch
        # A concurrent sign-in has replaced the hash, or the password has changed.
        user = await db.get(User, user_id, populate_existing=True)
        await release(db)
        if user and await verify_password(password, user.hashed_password):
            return user.credential_epoch
        return None

    async def replace_hash(self, db: AsyncSession, user_id: int, old: str, new: str) -> int | None:
        """Replace the hash if it is still `old`. Return the user's new `credential_epoch`."""
        epoch: int | None = await db.scalar(
            update(User)
            .where(User.id == user_id, User.hashed_password == old)
            .values(hashed_password=new)
            .returning(User.credential_epoch)
            .execution_options(synchronize_session="fetch")
        )
        return epoch

    async def get_unusual_addresses(self, db: AsyncSession) -> Sequence[Account]:
        """Return accounts whose canonical e-mail may be wrong, as plain SQL or an older release
        wrote it.

        This reads the whole table: about a second for a million users.
        """
        return [Account(*row) for row in await db.execute(_unusual_addresses)]

    async def get_address_holders(
        self, db: AsyncSession, forms: Sequence[str]
    ) -> Sequence[Account]:
        """Return the accounts that have these canonical e-mails."""
        return [Account(*row) for row in await db.execute(_address_holders, {"forms": forms})]

    async def set_canonical_email(self, db: AsyncSession, account: Account, form: str) -> None:
        """Set the canonical e-mail, unless the account's address has changed.

        Raises:
            IntegrityError: another account has this canonical e-mail.
        """
        await db.execute(
            update(User)
            .where(User.id == account.id, User.email == account.email)
            .values(email_canonical=form)
            .execution_options(synchronize_session=False)
        )


user = CRUDUser(User)
