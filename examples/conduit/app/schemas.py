"""Bodies of requests and responses."""

from datetime import datetime
from typing import Annotated

from pydantic import MISSING, BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic.alias_generators import to_camel
from pydantic_core.core_schema import ValidationInfo
from typing_extensions import TypedDict

from plinth.accounts.schemas import auth, user
from plinth.resources import Limit, Skip
from plinth.resources.fields import Line, Text

Short = Annotated[Line, StringConstraints(min_length=1, max_length=255)]
Long = Annotated[Text, StringConstraints(min_length=1)]
Tags = Annotated[list[Short], Field(max_length=50)]
Hidden = Field(exclude=True)  # from what is stored as a row, and from responses


class Input(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_blank(cls, value: object, field: ValidationInfo) -> object:
        if not isinstance(value, str) or value.strip():
            return value
        if field.field_name in {"bio", "image"}:
            return None
        raise ValueError("can't be blank")


class Login(Input, auth.Credentials): ...


class UserCreate(Input, user.UserCreate): ...


class UserUpdate(Input, user.UserUpdate):
    bio: Annotated[Text, StringConstraints(max_length=10_000)] | MISSING | None = MISSING
    image: Annotated[Line, StringConstraints(max_length=2000)] | MISSING | None = MISSING


class ArticleCreate(Input):
    title: Short
    description: Short
    body: Long
    tag_list: Annotated[Tags, Hidden] = []


class ArticleUpdate(Input):
    title: Short | MISSING = MISSING
    description: Short | MISSING = MISSING
    body: Long | MISSING = MISSING
    tag_list: Annotated[Tags | MISSING, Hidden] = MISSING


class CommentCreate(Input):
    body: Long


class Filters(BaseModel):
    tag: Line | None = None
    author: Line | None = None
    favorited: Line | None = None
    limit: Limit = 20
    offset: Skip = 0


class Output(BaseModel):
    model_config = ConfigDict(from_attributes=True, alias_generator=to_camel, validate_by_name=True)


class User(Output):
    email: str
    username: str
    bio: str | None
    image: str | None
    token: str


class Profile(Output):
    id: Annotated[int, Hidden]
    username: str
    bio: str | None
    image: str | None
    following: bool


class ArticleSummary(Output):
    id: Annotated[int, Hidden]
    slug: str
    title: str
    description: str
    tag_list: list[str]
    created_at: datetime
    updated_at: datetime
    favorited: bool
    favorites_count: int
    author: Profile


class Article(ArticleSummary):
    body: str


class Comment(Output):
    id: int
    created_at: datetime
    updated_at: datetime
    body: str
    author: Profile


UserOut = TypedDict("UserOut", {"user": User})
ProfileOut = TypedDict("ProfileOut", {"profile": Profile})
ArticleOut = TypedDict("ArticleOut", {"article": Article})
ArticlesOut = TypedDict("ArticlesOut", {"articles": list[ArticleSummary], "articlesCount": int})
CommentOut = TypedDict("CommentOut", {"comment": Comment})
CommentsOut = TypedDict("CommentsOut", {"comments": list[Comment]})
TagsOut = TypedDict("TagsOut", {"tags": list[str]})
