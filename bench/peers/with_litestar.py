"""Litestar with JWT authentication and the SQLAlchemy plugin, as in its documentation.

msgspec writes the JSON.
"""

import os
from datetime import datetime
from typing import Any

import msgspec
from litestar import Litestar, get
from litestar.connection import ASGIConnection
from litestar.exceptions import NotFoundException
from litestar.plugins.sqlalchemy import AsyncSessionConfig, SQLAlchemyAsyncConfig, SQLAlchemyPlugin
from litestar.security.jwt import JWTAuth, Token
from sqlalchemy import BigInteger, DateTime, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

config = SQLAlchemyAsyncConfig(
    connection_string=os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"),
    session_config=AsyncSessionConfig(expire_on_commit=False),
)


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    email: Mapped[str]
    username: Mapped[str]
    full_name: Mapped[str | None]
    is_active: Mapped[bool]
    is_superuser: Mapped[bool]
    is_verified: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class UserOut(msgspec.Struct):
    id: int
    email: str
    username: str
    full_name: str | None
    is_active: bool
    is_superuser: bool
    is_verified: bool
    created_at: datetime


async def retrieve_user(
    token: Token, connection: ASGIConnection[Any, Any, Any, Any]
) -> User | None:
    session = config.provide_session(connection.app.state, connection.scope)
    found: User | None = await session.scalar(select(User).where(User.id == int(token.sub)))
    return found


def show(user: User) -> UserOut:
    return UserOut(**{name: getattr(user, name) for name in UserOut.__struct_fields__})


@get("/api/v1/users/me")
async def read_me(request: Any) -> UserOut:
    return show(request.user)


@get("/api/v1/users/{user_id:int}")
async def read_user(db_session: AsyncSession, user_id: int) -> UserOut:
    found = await db_session.scalar(select(User).where(User.id == user_id))
    if found is None:
        raise NotFoundException
    return show(found)


auth = JWTAuth[User](
    retrieve_user_handler=retrieve_user, token_secret=os.environ["SECRET_KEY"], exclude=["/schema"]
)
app = Litestar(
    [read_me, read_user], plugins=[SQLAlchemyPlugin(config)], on_app_init=[auth.on_app_init]
)
