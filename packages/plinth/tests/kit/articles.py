"""A resource in another style: envelopes, slugs, nested paths, "403 unless it is yours"."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.deps import CurrentUser, get_current_user
from plinth.errors import (
    Conflict,
    NotFound,
    PermissionDenied,
    Rejected,
    Unauthenticated,
    Unavailable,
)
from plinth.http.problems import responses
from plinth.request.conventions import Conventions, ErrorFormat, Failure
from plinth.resources import fields
from plinth.resources.access import OWNER_OR_DENIED, PUBLIC, USER, access
from plinth.resources.crud import CRUDResource
from plinth.resources.deps import DB, RowId
from plinth.resources.listing import Listing
from tests.kit.drafts import Draft, Folder, Title


class Errors(BaseModel):
    errors: dict[str, list[str]]


def render(failure: Failure) -> Errors:
    return Errors(errors={"body": [failure.detail]})


CONVENTIONS = Conventions(errors=ErrorFormat(render, Errors), scheme="Token")


class NewArticle(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: Title
    body: fields.Text | None = None


class Article(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    slug: Annotated[str, Field(validation_alias="title")]
    body: str | None
    owner_id: int


class NewShelf(BaseModel):
    name: Annotated[fields.Line, Field(min_length=1, max_length=50)]


class Shelf(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    owner_id: int


class NewArticleIn(BaseModel):
    article: NewArticle


class ArticleOut(BaseModel):
    article: Article


class ArticlesOut(BaseModel):
    articles: list[Article]
    articles_count: int


class NewShelfIn(BaseModel):
    shelf: NewShelf


class ShelfOut(BaseModel):
    shelf: Shelf


articles = CRUDResource[Draft, NewArticle, NewArticle](
    Draft,
    Listing(Draft, sort=("created_at",), default="-created_at"),
    open_to_read=True,
    deny_writes=True,
)
shelves = CRUDResource[Folder, NewShelf, NewShelf](
    Folder,
    Listing(Folder, sort=("created_at",), default="-created_at"),
    open_to_read=True,
    deny_writes=True,
)


async def find_id(db: AsyncSession, slug: str) -> int:
    if (found := await db.scalar(select(Draft.id).where(Draft.title == slug))) is None:
        raise NotFound
    return found


open_router = APIRouter(prefix="/articles", tags=["articles"])
router = APIRouter(prefix="/articles", tags=["articles"])
CHANGING = responses(NotFound, PermissionDenied, Conflict)


@open_router.get("")
@access(PUBLIC, queries=2)
async def list_articles(db: DB) -> ArticlesOut:
    rows = (await db.scalars(select(Draft).order_by(Draft.id.desc()).limit(50))).all()
    count = await db.scalar(select(func.count()).select_from(Draft)) or 0
    return ArticlesOut(articles=[Article.model_validate(it) for it in rows], articles_count=count)


@open_router.get("/{slug}", response_model=ArticleOut, responses=responses(NotFound))
@access(PUBLIC, queries=2)
async def get_article(db: DB, slug: fields.Line) -> dict[str, Any]:
    return {"article": await articles.get(db, await find_id(db, slug), viewer=None)}


@router.post("", status_code=201, response_model=ArticleOut, responses=responses(Conflict))
@access(USER, queries=2)
async def create_article(db: DB, user: CurrentUser, new: NewArticleIn) -> dict[str, Any]:
    return {"article": await articles.create(db, new.article, by=user)}


@router.put("/{slug}", response_model=ArticleOut, responses=CHANGING)
@access(OWNER_OR_DENIED, queries=4)
async def update_article(
    db: DB, user: CurrentUser, slug: fields.Line, changes: NewArticleIn
) -> dict[str, Any]:
    row = await articles.update(db, await find_id(db, slug), changes.article, by=user)
    return {"article": row}


@router.delete("/{slug}", status_code=204, responses=CHANGING)
@access(OWNER_OR_DENIED, queries=4)
async def delete_article(db: DB, user: CurrentUser, slug: fields.Line) -> None:
    await articles.remove(db, await find_id(db, slug), by=user)


@router.post(
    "/{slug}/shelves", status_code=201, response_model=ShelfOut, responses=responses(NotFound)
)
@access(USER, queries=3)
async def create_shelf(
    db: DB, user: CurrentUser, slug: fields.Line, new: NewShelfIn
) -> dict[str, Any]:
    await find_id(db, slug)
    return {"shelf": await shelves.create(db, new.shelf, by=user)}


@router.delete("/{slug}/shelves/{shelf_id}", status_code=204, responses=CHANGING)
@access(OWNER_OR_DENIED, queries=4)
async def delete_shelf(db: DB, user: CurrentUser, slug: fields.Line, shelf_id: RowId) -> None:
    await find_id(db, slug)
    await shelves.remove(db, shelf_id, by=user)


def include(api_router: APIRouter, *routers: APIRouter) -> None:
    for it in routers:
        api_router.include_router(
            it,
            dependencies=[Depends(get_current_user)],
            responses=responses(Unauthenticated, Rejected, Unavailable),
        )
