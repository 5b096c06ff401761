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
from plinth.security.addresses import lookup_keys
from plinth.security.passwords import Verdict, hash_password, verify_password

Columns = TypeVarTuple("Columns")

_matching = (
    select_columns(User)
    .where(contains_by_trigram(User, SEARCHED, "query"), force_custom_plan())
    .order_by(User.id)
    .offset(bindparam("skip"))
    .limit(bindparam("limit"))
)
_searching = Query(_matching)
_searching_names = Query(
    _matching.where(contains(User.username, "query") | contains(User.full_name, "query"))
)


def having_email(statement: Select[*Columns]) -> Select[*Columns]:
    """Restrict `statement` to the account that an address means.

    The value of `keys` is the address's `lookup_keys`. Where several accounts fit, the first key
    decides.
    """
    keys = array_param("keys", Text())
    return (
        statement.where(User.email_canonical == any_(keys))
        .order_by(func.array_position(keys, User.email_canonical))
        .limit(1)
    )


_by_email = having_email(select(User))
_counting = Query(select(func.count().label("total")).select_from(User))


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
            Unavailable: too many passwords wait to be hashed.
        """
        values = obj_in.model_dump(exclude={"password"})
        values["hashed_password"] = await hash_password(obj_in.password)
        return await self.add(db, values)

    async def update(
        self, db: AsyncSession, *, db_obj: User, obj_in: UserUpdate | UserAdminUpdate
    ) -> User:
        """
        Raises:
            Unavailable: too many passwords wait to be hashed.
        """
        values = obj_in.model_dump(exclude_unset=True, exclude={"current_password"})
        if password := values.pop("password", None):
            values["hashed_password"] = await hash_password(password)
        return await self.change(db, db_obj, values)

    async def get_by_email(self, db: AsyncSession, *, email: str) -> User | None:
        """The account that an address means, in any spelling of it."""
        found: User | None = await db.scalar(_by_email, {"keys": lookup_keys(email)})
        return found

    async def get_by_username(self, db: AsyncSession, *, username: str) -> User | None:
        return await db.scalar(
            select(User).where(func.lower(User.username) == func.lower(username))
        )

    async def search_users(
        self, db: Readable, *, query: str, skip: int = 0, limit: int = 20, emails: bool = True
    ) -> Sequence[User]:
        """Users whose e-mail, username or full name holds `query`, without case, as plain text.

        Args:
            emails: False leaves e-mails out, for one who may not read them: else they could be
                guessed letter by letter.
        """
        found = _searching if emails else _searching_names
        return await read_all(db, found, query=like_pattern(query), skip=skip, limit=limit)

    async def count(self, db: Readable) -> int:
        """All of them, whatever it takes."""
        counted = await read_one(db, _counting)
        return counted.total if counted else 0

    async def get_active_users(
        self, db: AsyncSession, *, skip: int = 0, limit: int = 100
    ) -> Sequence[User]:
        """Newest first."""
        newest = (
            select(User)
            .where(User.is_active)
            .order_by(User.created_at.desc(), User.id.desc())
            .offset(skip)
            .limit(limit)
        )
        return (await db.scalars(newest)).all()

    async def stream(self, db: AsyncSession) -> AsyncIterator[User]:
        """Everyone as they are at this moment, by id, without holding them all."""
        rows = await db.stream_scalars(
            select(User).order_by(User.id).execution_options(yield_per=1000)
        )
        async for row in rows:
            yield row
            db.expunge(row)

    async def lock_superusers(self, db: AsyncSession) -> Sequence[int]:
        """The ids of those who can act as superusers, held so until the transaction ends."""
        held = (
            select(User.id)
            .where(User.is_superuser, User.is_active)
            .order_by(User.id)  # one order for all, or two who do this at once could deadlock
            .with_for_update()
        )
        return (await db.scalars(held)).all()

    async def authenticate(self, db: AsyncSession, *, email: str, password: str) -> User | None:
        """Return the user whose password this is, active or not, without beginning a session.

        Failures count together with those of the sign-in routes, as from an unknown device. An
        unknown e-mail costs the same work as a known one. The connection is given back while the
        password is hashed. A hash by an older method is replaced, unless the password was changed
        in between.

        Raises:
            TooMany
            Unavailable: too many passwords wait to be hashed.
        """
        request = current_request()
        client = request.client if request else Client(None, None)
        attempt = await reserve_sign_in(email, client)
        try:
            user = await self._find_by_password(db, email, password)
        except Exception:
            await attempt.refund()  # nobody was told whether the password is right
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
            return user if renewed else None
        return user

    async def renew_hash(
        self, db: AsyncSession, user_id: int, stored: str, password: str
    ) -> str | None:
        """Put a hash of our own in the place of the stored one, which the password fits; the one
        that is stored then, or None where the password is another by now.

        Raises:
            Unavailable: too many passwords wait to be hashed.
        """
        new = await hash_password(password)
        if await self.replace_hash(db, user_id, stored, new):
            return new
        # Another sign-in at the same moment was first, or the password is another by now.
        found = await db.get(User, user_id, populate_existing=True)
        await release(db)
        if found and await verify_password(password, found.hashed_password):
            return found.hashed_password
        return None

    async def replace_hash(self, db: AsyncSession, user_id: int, old: str, new: str) -> bool:
        """Unless it was changed meanwhile."""
        replaced = await db.scalar(
            update(User)
            .where(User.id == user_id, User.hashed_password == old)
            .values(hashed_password=new)
            .returning(User.id)
            .execution_options(synchronize_session="fetch")
        )
        return replaced is not None


user = CRUDUser(User)
