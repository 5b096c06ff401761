"""A resource of one's own, as `plinth new` writes it, on tables that only these tests have."""

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
from plinth.db.models import NAMES, NumberedBase, Owned, Timestamped, Versioned
from plinth.errors import Changed, Conflict, NotFound
from plinth.http.problems import responses
from plinth.resources import fields
from plinth.resources.access import OWNER, access
from plinth.resources.crud import CRUDResource
from plinth.resources.deps import DB, ReadDB, RowId
from plinth.resources.etags import SHOWS_VERSION, ClientCopy
from plinth.resources.listing import By, Listing, Wanted
from plinth.resources.once import DoneOnce
from plinth.resources.pages import Page, show_page
from plinth.resources.wanted import wanted_of


class Apart(NumberedBase):
    """Not among the application's tables, so that nobody misses these in its migrations."""

    __abstract__ = True
    metadata = MetaData(naming_convention=NAMES)


users = cast("Table", User.__table__).to_metadata(Apart.metadata)
for index in users.indexes:  # what their violation means is not copied along
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
    """Any of these; what is left out stays."""

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
            "title": By.EQUALS | By.CONTAINS,
            "due": By.EQUALS | By.RANGE | By.NULL,
            "priority": By.EQUALS | By.RANGE,
            "folder_id": By.EQUALS | By.NULL,
        },
        search=SEARCHED,
    ),
)

router = APIRouter(prefix="/drafts", tags=["drafts"])

Drafts = Annotated[Wanted, Depends(wanted_of(drafts.listing))]
SeveralDrafts = Annotated[list[DraftCreate], Field(min_length=1, max_length=100)]


@router.get("/", response_model=Page[DraftOut])
@access(OWNER, queries=3)
async def list_drafts(
    request: Request, db: ReadDB, user: CurrentUser, wanted: Drafts
) -> dict[str, Any]:
    return show_page(request, await drafts.page(db, wanted, viewer=user))


@router.post("/", status_code=201, response_model=DraftOut, responses=responses(Conflict))
@access(OWNER, queries=2)
async def create_draft(
    db: DB, user: CurrentUser, draft: DraftCreate, once: DoneOnce
) -> Draft | Response:
    return await once.run(DraftOut, lambda: drafts.make(db, draft, by=user))


@router.post("/bulk", status_code=201, response_model=list[DraftOut], responses=responses(Conflict))
@access(OWNER, queries=2)
async def create_drafts(
    db: DB, user: CurrentUser, several: SeveralDrafts, once: DoneOnce
) -> Sequence[Draft] | Response:
    """All of them or none."""
    return await once.run(list[DraftOut], lambda: drafts.make_many(db, several, by=user))


@router.get(
    "/{draft_id}", response_model=DraftOut, responses={**responses(NotFound), **SHOWS_VERSION}
)
@access(OWNER, queries=2)
async def get_draft(
    db: ReadDB, user: CurrentUser, draft_id: RowId, copy: ClientCopy
) -> Draft | Response:
    return copy.show_unless_fresh(await drafts.find(db, draft_id, viewer=user))


@router.patch(
    "/{draft_id}", response_model=DraftOut, responses=responses(NotFound, Conflict, Changed)
)
@access(OWNER, queries=3)
async def update_draft(
    db: DB, user: CurrentUser, draft_id: RowId, changes: DraftUpdate, copy: ClientCopy
) -> Draft:
    return copy.show(await drafts.edit(db, draft_id, changes, by=user, versions=copy.versions))


@router.delete("/{draft_id}", status_code=204, responses=responses(NotFound, Conflict, Changed))
@access(OWNER, queries=3)
async def delete_draft(db: DB, user: CurrentUser, draft_id: RowId, copy: ClientCopy) -> None:
    await drafts.discard(db, draft_id, by=user, versions=copy.versions)
