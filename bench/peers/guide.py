"""The stack of FastAPI's tutorial: python-jose, and SQLAlchemy's async ORM, a session per request.

The user is looked up by the subject of the token. `POOL` is the size of the connection pool; a pool
of 5 may open 10 further connections, as by default.
"""

import os
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer
from jose import JWTError, jwt
from pydantic import BaseModel, ConfigDict, EmailStr
from sqlalchemy import BigInteger, DateTime, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

pool = int(os.environ.get("POOL", "5"))
engine = create_async_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"),
    pool_size=pool,
    max_overflow=10 if pool == 5 else 0,
    pool_pre_ping=True,
)
SessionLocal = async_sessionmaker(engine, expire_on_commit=False)
oauth2 = OAuth2PasswordBearer(tokenUrl="/api/v1/auth/login")
app = FastAPI()


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    email: Mapped[str]
    username: Mapped[str]
    hashed_password: Mapped[str]
    full_name: Mapped[str | None]
    is_active: Mapped[bool]
    is_superuser: Mapped[bool]
    is_verified: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class UserOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    email: EmailStr
    username: str
    full_name: str | None
    is_active: bool
    is_superuser: bool
    is_verified: bool
    created_at: datetime


class UserPage(BaseModel):
    items: list[UserOut]
    total: int


async def get_db() -> AsyncIterator[AsyncSession]:
    async with SessionLocal() as session:
        try:
            yield session
            await session.commit()
        except Exception:
            await session.rollback()
            raise


DB = Annotated[AsyncSession, Depends(get_db)]


async def get_current_user(db: DB, token: Annotated[str, Depends(oauth2)]) -> User:
    refused = HTTPException(401, "Could not validate credentials", {"WWW-Authenticate": "Bearer"})
    try:
        user_id = int(jwt.decode(token, os.environ["SECRET_KEY"], algorithms=["HS256"])["sub"])
    except (JWTError, KeyError, ValueError) as error:
        raise refused from error
    user = (await db.execute(select(User).where(User.id == user_id))).scalar_one_or_none()
    if user is None:
        raise refused
    return user


async def get_current_active_user(user: Annotated[User, Depends(get_current_user)]) -> User:
    if not user.is_active:
        raise HTTPException(400, "Inactive user")
    return user


CurrentUser = Annotated[User, Depends(get_current_active_user)]


@app.get("/api/v1/users/me", response_model=UserOut)
async def read_me(user: CurrentUser) -> User:
    return user


@app.get("/api/v1/users/search", response_model=list[UserOut])
async def search(db: DB, _: CurrentUser, q: str, skip: int = 0, limit: int = 20) -> list[User]:
    pattern = f"%{q}%"
    found = (
        select(User)
        .where(
            or_(
                User.email.ilike(pattern),
                User.username.ilike(pattern),
                User.full_name.ilike(pattern),
            )
        )
        .offset(skip)
        .limit(limit)
    )
    return list((await db.execute(found)).scalars())


@app.get("/api/v1/users/{user_id}", response_model=UserOut)
async def read_user(db: DB, _: CurrentUser, user_id: int) -> User:
    found = (await db.execute(select(User).where(User.id == user_id))).scalar_one_or_none()
    if found is None:
        raise HTTPException(404, "User not found")
    return found


@app.get("/api/v1/users/", response_model=UserPage)
async def read_users(
    db: DB, user: CurrentUser, skip: int = 0, limit: int = 20
) -> dict[str, object]:
    if not user.is_superuser:
        raise HTTPException(403, "The user doesn't have enough privileges")
    page = select(User).order_by(User.id).offset(skip).limit(limit)
    total = (await db.execute(select(func.count()).select_from(User))).scalar_one()
    return {"items": list((await db.execute(page)).scalars()), "total": total}
