"""An owned resource, as `plinth new` writes it, on tables that only these tests have."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Request, Response
from pydantic import MISSING, BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import (
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from plinth.accounts.deps import CurrentUser
from plinth.accounts.models import User
from plinth.db.models import NAMING_CONVENTION, NumberedBase, Owned, Timestamped, Versioned
from plinth.errors import Conflict, NotFound, VersionMismatch
from plinth.http.problems import responses
from plinth.resources import fields
from plinth.resources.access import OWNER, access
from plinth.resources.crud import CRUDResource
from plinth.resources.deps import DB, ReadDB, RowId
from plinth.resources.idempotency import IdempotentRequest
from plinth.resources.listing import FilterKind, Listing, list_params_for
from plinth.resources.pages import ListParams, Page, show_page
from plinth.resources.preconditions import NOT_MODIFIED_RESPONSE, Preconditions


class Apart(NumberedBase):
    """Base with separate metadata, so that these tables are not expected in the migrations."""

    __abstract__ = True
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


users = cast("Table", User.__table__).to_metadata(Apart.metadata)
for index in users.indexes:  # their error messages are not copied
    index.info |= next(it.info for it in User.__table__.indexes if it.name == index.name)  # type: ignore[attr-defined]


class Folder(Owned, Versioned, Timestamped, Apart):
    __tablename__ = "folders"
    __table_args__ = (UniqueConstraint("id", "owner_id"),)

    name: Mapped[str] = mapped_column(String(50))


class Draft(Owned, Versioned, Timestamped, Apart):
    __tablename__ = "drafts"
    __table_args__ = (
        UniqueConstraint(
            "owner_id",
            "title",
            info={"conflict": ("draft_title_taken", "Another draft has this title")},
        ),
        ForeignKeyConstraint(
            ["folder_id", "owner_id"],
            ["folders.id", "folders.owner_id"],
            info={"refers": "folder_id"},
        ),
    )

    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str | None] = mapped_column(Text)
    due: Mapped[date | None]
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    folder_id: Mapped[int | None]


SEARCHED: ColumnElement[str] = literal_column(
    "(drafts.title || '\n') || COALESCE(drafts.body, '')", String
)

Index("ix_drafts_created_at", Draft.owner_id, Draft.created_at, Draft.id)

Title = Annotated[fields.Line, StringConstraints(min_length=1, max_length=200)]


class DraftCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: Title
    body: fields.Text | None = None
    due: fields.Date | None = None
    priority: fields.BigInt = 0
    folder_id: fields.RowRef | None = None


class DraftUpdate(BaseModel):
    """Fields of an update; missing fields keep their values."""

    model_config = ConfigDict(extra="forbid")

    title: Title | MISSING = MISSING
    body: fields.Text | MISSING | None = MISSING
    due: fields.Date | MISSING | None = MISSING
    priority: fields.BigInt | MISSING = MISSING
    folder_id: fields.RowRef | MISSING | None = MISSING


class DraftOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    owner_id: int
    title: str
    body: str | None
    due: date | None
    priority: int
    folder_id: int | None
    version: int


drafts = CRUDResource[Draft, DraftCreate, DraftUpdate](
    Draft,
    Listing(
        Draft,
        sort=("created_at", "title", "due", "priority"),
        default="-created_at",
        filters={
            "title": FilterKind.EQUALS | FilterKind.CONTAINS,
            "due": FilterKind.EQUALS | FilterKind.RANGE | FilterKind.NULL,
            "priority": FilterKind.EQUALS | FilterKind.RANGE,
            "folder_id": FilterKind.EQUALS | FilterKind.NULL,
        },
        search=SEARCHED,
    ),
)

router = APIRouter(prefix="/drafts", tags=["drafts"])

Drafts = Annotated[ListParams, Depends(list_params_for(drafts.listing))]
SeveralDrafts = Annotated[list[DraftCreate], Field(min_length=1, max_length=100)]


@router.get("/", response_model=Page[DraftOut])
@access(OWNER, queries=3)
async def list_drafts(
    request: Request, db: ReadDB, user: CurrentUser, wanted: Drafts
) -> dict[str, Any]:
    return show_page(request, await drafts.get_page(db, wanted, viewer=user))


@router.post("/", status_code=201, response_model=DraftOut, responses=responses(Conflict))
@access(OWNER, queries=2)
async def create_draft(
    db: DB, user: CurrentUser, draft: DraftCreate, once: IdempotentRequest
) -> Draft | Response:
    return await once.run(DraftOut, lambda: drafts.create(db, draft, by=user))


@router.post("/bulk", status_code=201, response_model=list[DraftOut], responses=responses(Conflict))
@access(OWNER, queries=2)
async def create_drafts(
    db: DB, user: CurrentUser, several: SeveralDrafts, once: IdempotentRequest
) -> Sequence[Draft] | Response:
    """All of them or none."""
    return await once.run(list[DraftOut], lambda: drafts.create_many(db, several, by=user))


@router.get(
    "/{draft_id}",
    response_model=DraftOut,
    responses={**responses(NotFound), **NOT_MODIFIED_RESPONSE},
)
@access(OWNER, queries=2)
async def get_draft(
    db: ReadDB, user: CurrentUser, draft_id: RowId, copy: Preconditions
) -> Draft | Response:
    return copy.respond(await drafts.get(db, draft_id, viewer=user))


@router.patch(
    "/{draft_id}", response_model=DraftOut, responses=responses(NotFound, Conflict, VersionMismatch)
)
@access(OWNER, queries=3)
async def update_draft(
    db: DB, user: CurrentUser, draft_id: RowId, changes: DraftUpdate, copy: Preconditions
) -> Draft:
    return copy.tag(await drafts.update(db, draft_id, changes, by=user, versions=copy.versions))


@router.delete(
    "/{draft_id}", status_code=204, responses=responses(NotFound, Conflict, VersionMismatch)
)
@access(OWNER, queries=3)
async def delete_draft(db: DB, user: CurrentUser, draft_id: RowId, copy: Preconditions) -> None:
    await drafts.remove(db, draft_id, by=user, versions=copy.versions)
