"""The routes under `API_V1_PREFIX`. PUBLIC routers are open to anyone; the first match answers."""

from typing import Annotated, TypeVar

from fastapi import APIRouter, Body, Depends, Query, Request

from app import queries
from app import schemas as s
from app.models import favorites, follows
from plinth import accounts
from plinth import errors as e
from plinth.accounts import BaseUser
from plinth.accounts.deps import BearerToken, CurrentUser, ViewerId, get_current_user
from plinth.accounts.routes import credentials
from plinth.health.routes import router as health
from plinth.http import responses
from plinth.resources import DB, OWNER_OR_DENIED, USER, Client, DatabaseDep, ReadDB, RowId, access
from plinth.resources import PUBLIC as ANYONE
from plinth.resources.fields import Line

SIGNED_IN = responses(e.Unauthenticated, e.Rejected, e.Unavailable)
FOUND, OWN = responses(e.NotFound), responses(e.NotFound, e.PermissionDenied)
public = APIRouter(responses=responses(e.Unavailable))
private = APIRouter(dependencies=[Depends(get_current_user)], responses=SIGNED_IN)
T = TypeVar("T")
Filters = Annotated[s.Filters, Query()]
In = Annotated[T, Body(embed=True)]  # {"article": {...}}
AT_ONCE = {"password_for_email": False, "password_for_password": False, "email_by_link": False}


@public.post("/users", status_code=201, responses=responses(e.Conflict, e.RateLimited))
@access(ANYONE, queries=6)
async def register(db: DB, client: Client, user: In[s.UserCreate]) -> s.UserOut:
    await accounts.limit_registration(client)
    registered = await accounts.register(db, user)
    signed_in = await accounts.complete_sign_in(db, registered, ("password",), client)
    return _show(signed_in.user, signed_in.tokens.access_token)


@public.post("/users/login", responses=responses(e.Unauthenticated, e.Rejected, e.RateLimited))
@access(ANYONE, queries=2)
async def login(database: DatabaseDep, client: Client, user: In[s.Login]) -> s.UserOut:
    signed_in = await accounts.sign_in(database, user.email, user.password, client)
    return _show(signed_in.user, signed_in.tokens.access_token)


@private.get("/user")
@access(USER, queries=1)
async def get_user(user: CurrentUser, token: BearerToken) -> s.UserOut:
    return _show(user, token)


@private.put("/user", responses=responses(e.Conflict, e.RateLimited))
@access(USER, queries=21)
async def update_user(
    db: DB, me: CurrentUser, token: BearerToken, user: In[s.UserUpdate]
) -> s.UserOut:
    return _show(await accounts.update_profile(db, me.id, me.session_id, user, **AT_ONCE), token)


@public.get("/profiles/{username}", responses=FOUND)
@access(ANYONE, queries=2)
async def get_profile(db: ReadDB, viewer: ViewerId, username: Line) -> s.ProfileOut:
    return {"profile": await queries.get_profile.one(db, username=username, viewer=viewer)}


@private.post("/profiles/{username}/follow", responses=FOUND)
@private.delete("/profiles/{username}/follow", responses=FOUND, name="unfollow_user")
@access(USER, queries=4)
async def follow_user(request: Request, db: DB, user: CurrentUser, username: Line) -> s.ProfileOut:
    found = await queries.get_profile.one(db, username=username, viewer=user.id)
    await queries.set_pair(db, follows, request.method, follower_id=user.id, followed_id=found.id)
    return {"profile": await queries.get_profile.one(db, username=username, viewer=user.id)}


@public.get("/tags")
@access(ANYONE, queries=1)
async def list_tags(db: ReadDB) -> s.TagsOut:
    return {"tags": await queries.list_tags.all(db)}


@public.get("/articles")
@access(ANYONE, queries=3)
async def list_articles(db: ReadDB, viewer: ViewerId, filters: Filters) -> s.ArticlesOut:
    rows, total = await queries.list_articles.page(db, filters=filters, viewer=viewer)
    return {"articles": rows, "articlesCount": total}


@private.get("/articles/feed")
@access(USER, queries=3)
async def list_feed(db: ReadDB, user: CurrentUser, filters: Filters) -> s.ArticlesOut:
    found = {"viewer": user.id, "feed_of": user.id}
    rows, total = await queries.list_articles.page(db, filters=filters, **found)
    return {"articles": rows, "articlesCount": total}


@public.get("/articles/{slug}", responses=FOUND)
@access(ANYONE, queries=2)
async def get_article(db: ReadDB, viewer: ViewerId, slug: Line) -> s.ArticleOut:
    return {"article": await queries.get_article.one(db, slug=slug, viewer=viewer)}


@private.post("/articles", status_code=201)
@access(USER, queries=5)
async def create_article(db: DB, user: CurrentUser, article: In[s.ArticleCreate]) -> s.ArticleOut:
    row = await queries.articles.create(db, article, by=user)
    await queries.replace_tags(db, row.id, article.tag_list)
    return {"article": await queries.get_article.one(db, slug=row.slug, viewer=user.id)}


@private.put("/articles/{slug}", responses=OWN)
@access(OWNER_OR_DENIED, queries=7)
async def update_article(
    db: DB, user: CurrentUser, slug: Line, article: In[s.ArticleUpdate]
) -> s.ArticleOut:
    found = await queries.get_article.one(db, slug=slug, viewer=user.id)
    row = await queries.articles.update(db, found.id, article, by=user)
    if isinstance(article.tag_list, list):
        await queries.replace_tags(db, row.id, article.tag_list)
    return {"article": await queries.get_article.one(db, slug=row.slug, viewer=user.id)}


@private.delete("/articles/{slug}", status_code=204, responses=OWN)
@access(OWNER_OR_DENIED, queries=4)
async def delete_article(db: DB, user: CurrentUser, slug: Line) -> None:
    article = await queries.get_article.one(db, slug=slug, viewer=user.id)
    await queries.articles.remove(db, article.id, by=user)


@private.post("/articles/{slug}/favorite", responses=FOUND)
@private.delete("/articles/{slug}/favorite", responses=FOUND, name="unfavorite_article")
@access(USER, queries=4)
async def favorite_article(request: Request, db: DB, user: CurrentUser, slug: Line) -> s.ArticleOut:
    found = await queries.get_article.one(db, slug=slug, viewer=user.id)
    await queries.set_pair(db, favorites, request.method, user_id=user.id, article_id=found.id)
    return {"article": await queries.get_article.one(db, slug=slug, viewer=user.id)}


@public.get("/articles/{slug}/comments", responses=FOUND)
@access(ANYONE, queries=3)
async def list_comments(db: ReadDB, viewer: ViewerId, slug: Line) -> s.CommentsOut:
    article = await queries.get_article.one(db, slug=slug, viewer=viewer)
    return {"comments": await queries.list_comments.all(db, article_id=article.id, viewer=viewer)}


@private.post("/articles/{slug}/comments", status_code=201, responses=FOUND)
@access(USER, queries=4)
async def create_comment(
    db: DB, user: CurrentUser, slug: Line, comment: In[s.CommentCreate]
) -> s.CommentOut:
    article = await queries.get_article.one(db, slug=slug, viewer=user.id)
    row = await queries.comments.create(db, comment, by=user, article_id=article.id)
    made = {"article_id": article.id, "comment_id": row.id}
    return {"comment": await queries.list_comments.one(db, **made, viewer=user.id)}


@private.delete("/articles/{slug}/comments/{comment_id}", status_code=204, responses=OWN)
@access(OWNER_OR_DENIED, queries=5)
async def delete_comment(db: DB, user: CurrentUser, slug: Line, comment_id: RowId) -> None:
    article = await queries.get_article.one(db, slug=slug, viewer=None)
    await queries.list_comments.one(db, article_id=article.id, comment_id=comment_id, viewer=None)
    await queries.comments.remove(db, comment_id, by=user)


def _show(user: BaseUser, token: str | None) -> s.UserOut:
    shown = {name: getattr(user, name) for name in ("email", "username", "bio", "image")}
    return {"user": s.User(**shown, token=token or "")}


PUBLIC = [public, credentials.public_router, health]
private.include_router(credentials.private_router)
api_router = APIRouter()
for router in (private, *PUBLIC):
    api_router.include_router(router)
