"""All tables. Import models from here, so that `Base.metadata` is complete."""

import re
import secrets

from sqlalchemy import Column, ForeignKey, String, Table, Text
from sqlalchemy.orm import Mapped, mapped_column, validates

from app.models.user import User as User
from plinth.accounts import models as models
from plinth.db import Base as Base
from plinth.db import NumberedBase, Owned, Timestamped


class Article(Owned, Timestamped, NumberedBase):
    __tablename__ = "articles"

    slug: Mapped[str] = mapped_column(String(300), unique=True)
    title: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(String(255))
    body: Mapped[str] = mapped_column(Text)

    @validates("title")
    def _set_slug(self, _: str, title: str) -> str:
        if title != self.title:
            words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
            self.slug = f"{words}-{secrets.token_hex(4)}"  # others may have the same title
        return title


class Comment(Owned, Timestamped, NumberedBase):
    __tablename__ = "comments"

    article_id: Mapped[int] = mapped_column(
        ForeignKey("articles.id", ondelete="CASCADE"), index=True
    )
    body: Mapped[str] = mapped_column(Text)


def _key(name: str, table: str) -> Column[int]:
    return Column(name, ForeignKey(f"{table}.id", ondelete="CASCADE"), primary_key=True, index=True)


meta = Base.metadata
name = Column("name", String(255), primary_key=True, index=True)
tags = Table("tags", meta, _key("article_id", "articles"), name)
favorites = Table("favorites", meta, _key("user_id", "users"), _key("article_id", "articles"))
follows = Table("follows", meta, _key("follower_id", "users"), _key("followed_id", "users"))
