"""A team's application for the contract suite.

It has routes that follow the rules, routes that the suite cannot check, and routes that break one
rule each.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, UploadFile
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.api import v1
from plinth.accounts.deps import CurrentUser, get_current_user
from plinth.application import create_app
from plinth.errors import NotFound, Rejected, Unauthenticated, Unavailable
from plinth.http.problems import responses
from plinth.resources.access import PUBLIC, SUPERUSER, USER, access
from plinth.resources.deps import DB, RowId, get_db
from plinth.resources.fields import Line

private = APIRouter(
    dependencies=[Depends(get_current_user)],
    responses=responses(Unauthenticated, Rejected, Unavailable, NotFound),
)
public = APIRouter()
FIRST_POSITION = 3


class Tag(BaseModel):
    slug: Line


class Article(BaseModel):
    title: Line


class ArticleEnvelope(BaseModel):
    article: Article


class Articles(BaseModel):
    articles: list[Article]


class Row(BaseModel):
    id: int
    title: Line
    is_superuser: bool


class Settable(BaseModel, extra="allow"):
    title: Line


@private.post("/tags", status_code=201)
@access(USER, queries=1)
async def create_tag(tag: Tag) -> Tag:
    return tag


@private.get("/tags/{slug}")
@access(USER, queries=1)
async def get_tag(slug: Line) -> Tag:
    return Tag(slug=slug)


@private.post("/articles", status_code=201)
@access(USER, queries=1)
async def create_article(article: ArticleEnvelope) -> ArticleEnvelope:
    return article


@private.get("/articles")
@access(USER, queries=1)
async def list_articles() -> Articles:
    return Articles(articles=[])


@private.get("/articles/{article_slug}")
@access(USER, queries=1)
async def get_article(article_slug: Line) -> ArticleEnvelope:
    return ArticleEnvelope(article=Article(title=article_slug))


@private.get("/articles/by-position/{position}")
@access(USER, queries=1)
async def get_article_by_position(position: RowId) -> Tag:
    if position != FIRST_POSITION:
        raise NotFound
    return Tag(slug="first")


@private.post("/articles/{article_slug}/comments", status_code=201)
@access(USER, queries=1)
async def create_comment(article_slug: Line, tag: Tag) -> Tag:
    return tag


@private.post("/tags/{slug}/notes", status_code=201)
@access(USER, queries=1)
async def create_note(slug: Line, tag: Tag) -> Tag:
    return tag


@private.delete("/articles/{article_slug}/comments/{id}", status_code=204)
@access(USER, queries=1)
async def delete_comment(article_slug: Line, id: int) -> None: ...  # noqa: A002


@private.delete("/tags/{slug}/notes/{id}", status_code=204)
@access(USER, queries=1)
async def delete_note(slug: Line, id: int) -> None: ...  # noqa: A002


@private.post("/uploads", status_code=204)
@access(USER, queries=1)
async def upload(file: UploadFile) -> None: ...


@private.get("/hidden", include_in_schema=False)
@access(USER, queries=1)
async def get_hidden() -> Tag:
    return Tag(slug="hidden")


@private.get("/wrong/undeclared")
async def get_undeclared() -> Tag:
    return Tag(slug="a")


@public.get("/wrong/open")
@access(USER, queries=1)
async def get_open() -> Tag:
    return Tag(slug="a")


@private.get("/wrong/superusers")
@access(SUPERUSER, queries=1)
async def get_for_superusers(user: CurrentUser) -> Tag:
    return Tag(slug=user.username)


@private.get("/wrong/costly")
@access(USER, queries=2)
async def get_costly(db: DB) -> Tag:
    for _ in range(2):
        await db.execute(text("SELECT 1"))
    return Tag(slug="a")


@private.get("/wrong/late")
@access(USER, queries=1)
async def get_late(db: Annotated[AsyncSession, Depends(get_db)]) -> Tag:
    return Tag(slug="a")


@private.get("/wrong/stale")
@access(USER, queries=1, fresh=True)
async def get_without_step_up(user: CurrentUser) -> Tag:
    return Tag(slug=user.username)


@private.post("/wrong/settable", status_code=201)
@access(USER, queries=1)
async def create_settable(row: Settable) -> Row:
    return Row(
        id=1, title=row.title, is_superuser=bool((row.model_extra or {}).get("is_superuser"))
    )


@private.get("/wrong/fragile")
@access(USER, queries=1)
async def get_fragile(number: str = "1") -> Tag:
    return Tag(slug=str(int(number)))


@public.get("/wrong/telling")
@access(PUBLIC, queries=1)
async def get_telling() -> Tag:
    return Tag(slug="sqlalchemy.exc.OperationalError")


router = APIRouter()
router.include_router(v1.api_router)
router.include_router(public)
router.include_router(private)
app = create_app(router)
