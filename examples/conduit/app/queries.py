"""The queries of articles, comments and profiles. `viewer` is the current user's id or None."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Select, exists, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from app import schemas as s
from app.models import Article, Comment, User, favorites, follows, tags
from plinth.db import force_custom_plan, typed_query
from plinth.resources import CRUDResource

Rows = Select[*tuple[Any, ...]]
articles = CRUDResource[Article, s.ArticleCreate, s.ArticleUpdate](Article, deny_writes=True)
comments = CRUDResource[Comment, s.CommentCreate, s.CommentCreate](Comment, deny_writes=True)


def _is_followed(viewer: int | None) -> ColumnElement[bool]:
    return exists().where(follows.c.follower_id == viewer, follows.c.followed_id == User.id)


def _profile(viewer: int | None) -> ColumnElement[Any]:
    shown = "id", User.id, "username", User.username, "bio", User.bio, "image", User.image
    return func.jsonb_build_object(*shown, "following", _is_followed(viewer), type_=JSONB)


def _select_articles(viewer: int | None) -> Rows:
    names = select(tags.c.name).where(tags.c.article_id == Article.id).order_by(tags.c.name)
    fans = select(func.count()).where(favorites.c.article_id == Article.id)
    favorited = favorites.c.article_id == Article.id, favorites.c.user_id == viewer
    return select(
        Article.id,
        *(Article.slug, Article.title, Article.description, Article.created_at, Article.updated_at),
        func.array(names.scalar_subquery(), type_=sa.ARRAY(sa.String)).label("tag_list"),
        exists().where(*favorited).label("favorited"),
        fans.scalar_subquery().label("favorites_count"),
        _profile(viewer).label("author"),
    ).join(User, User.id == Article.owner_id)


def _match(filters: s.Filters, feed_of: int | None) -> list[ColumnElement[bool]]:
    tag, author, favorited = filters.tag, filters.author, filters.favorited
    fan = select(User.id).where(func.lower(User.username) == func.lower(favorited)).correlate(None)
    tagged = tags.c.article_id == Article.id, tags.c.name == tag
    liked = favorites.c.article_id == Article.id, favorites.c.user_id.in_(fan)
    followed = follows.c.followed_id == Article.owner_id, follows.c.follower_id == feed_of
    return [
        or_(sa.cast(tag, sa.String).is_(None), exists().where(*tagged)),
        or_(sa.cast(author, sa.String).is_(None), func.lower(User.username) == func.lower(author)),
        or_(sa.cast(favorited, sa.String).is_(None), exists().where(*liked)),
        or_(sa.cast(feed_of, sa.BigInteger).is_(None), exists().where(*followed)),
        force_custom_plan(),
    ]


@typed_query(s.Profile, item="profile")
def get_profile(*, username: str, viewer: int | None) -> Rows:
    following = _is_followed(viewer).label("following")
    found = select(User.id, User.username, User.bio, User.image, following)
    return found.where(func.lower(User.username) == func.lower(username))


@typed_query(s.Article, item="article")
def get_article(*, slug: str, viewer: int | None) -> Rows:
    return _select_articles(viewer).add_columns(Article.body).where(Article.slug == slug)


@typed_query(s.ArticleSummary)
def list_articles(*, filters: s.Filters, viewer: int | None, feed_of: int | None = None) -> Rows:
    found = _select_articles(viewer).where(*_match(filters, feed_of)).order_by(Article.id.desc())
    return found.limit(filters.limit).offset(filters.offset)


@typed_query(str)
def list_tags() -> Select[str]:
    return select(tags.c.name).distinct().order_by(tags.c.name)


@typed_query(s.Comment, item="comment")
def list_comments(*, article_id: int, viewer: int | None, comment_id: int | None = None) -> Rows:
    own = Comment.id, Comment.created_at, Comment.updated_at, Comment.body
    found = select(*own, _profile(viewer).label("author")).join(User, User.id == Comment.owner_id)
    is_one = or_(sa.cast(comment_id, sa.BigInteger).is_(None), Comment.id == comment_id)
    return found.where(Comment.article_id == article_id, is_one).order_by(Comment.id)


async def replace_tags(db: AsyncSession, article_id: int, names: list[str]) -> None:
    await db.execute(sa.delete(tags).where(tags.c.article_id == article_id))
    if rows := [{"article_id": article_id, "name": name} for name in {*names}]:
        await db.execute(insert(tags), rows)


async def set_pair(db: AsyncSession, table: sa.Table, method: str, **ids: int) -> None:
    adding = insert(table).values(ids).on_conflict_do_nothing()
    await db.execute(adding if method == "POST" else sa.delete(table).filter_by(**ids))
