"""Two resources of organizations, as `plinth new --org` writes them, on tables of these tests."""

from collections.abc import Sequence
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Request, Response
from pydantic import MISSING, BaseModel, ConfigDict, Field
from sqlalchemy import (
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    literal_column,
)
from sqlalchemy.orm import Mapped, mapped_column

from plinth.db.models import (
    NAMING_CONVENTION,
    NumberedBase,
    OrganizationOwned,
    Timestamped,
    Versioned,
)
from plinth.errors import Conflict, NotFound, VersionMismatch
from plinth.http import responses
from plinth.organizations.deps import Member
from plinth.organizations.models import Organization
from plinth.resources import (
    MEMBER,
    NOT_MODIFIED_RESPONSE,
    CRUDResource,
    FilterKind,
    IdempotentRequest,
    Listing,
    ListParams,
    Page,
    Preconditions,
    access,
    list_params_for,
    show_page,
)
from plinth.resources.deps import DB, ReadDB, RowId
from plinth.resources.fields import RowRef


class Apart(NumberedBase):
    __abstract__ = True
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


cast("Table", Organization.__table__).to_metadata(Apart.metadata)


class Client(OrganizationOwned, Versioned, Timestamped, Apart):
    __tablename__ = "clients"
    __table_args__ = (UniqueConstraint("id", "organization_id"),)

    name: Mapped[str] = mapped_column(String(50))


class Bill(OrganizationOwned, Versioned, Timestamped, Apart):
    __tablename__ = "bills"
    __table_args__ = (
        ForeignKeyConstraint(
            ["client_id", "organization_id"],
            ["clients.id", "clients.organization_id"],
            info={"refers": "client_id"},
        ),
        Index("ix_bills_created_at", "organization_id", "created_at", "id"),
    )

    number: Mapped[str] = mapped_column(String(50))
    client_id: Mapped[int | None]


TABLES = [cast("Table", model.__table__) for model in (Client, Bill)]


class BillCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    number: str
    client_id: RowRef | None = None


class BillUpdate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    number: str | MISSING = MISSING
    client_id: RowRef | MISSING | None = MISSING


class BillOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    organization_id: int
    number: str
    client_id: int | None


bills = CRUDResource[Bill, BillCreate, BillUpdate](
    Bill,
    Listing(
        Bill,
        sort=("created_at",),
        default="-created_at",
        filters={"number": FilterKind.EQUALS},
        search=literal_column("bills.number", String),
    ),
)
router = APIRouter(prefix="/organizations/{slug}/bills", tags=["bills"])

BillListParams = Annotated[ListParams, Depends(list_params_for(bills.listing))]
Several = Annotated[list[BillCreate], Field(min_length=1, max_length=100)]


@router.get("/", response_model=Page[BillOut])
@access(MEMBER, queries=3, permission="bills:read")
async def list_bills(
    request: Request, db: ReadDB, member: Member, params: BillListParams
) -> dict[str, Any]:
    return show_page(request, await bills.get_page(db, params, viewer=member))


@router.post("/", status_code=201, response_model=BillOut, responses=responses(Conflict))
@access(MEMBER, queries=5, permission="bills:write")
async def create_bill(
    db: DB, member: Member, bill: BillCreate, idempotency: IdempotentRequest
) -> Bill | Response:
    return await idempotency.run(BillOut, lambda: bills.create(db, bill, by=member))


@router.post("/bulk", status_code=201, response_model=list[BillOut], responses=responses(Conflict))
@access(MEMBER, queries=5, permission="bills:write")
async def create_bills(
    db: DB, member: Member, several: Several, idempotency: IdempotentRequest
) -> Sequence[Bill] | Response:
    return await idempotency.run(list[BillOut], lambda: bills.create_many(db, several, by=member))


@router.get(
    "/{bill_id}", response_model=BillOut, responses=responses(NotFound) | NOT_MODIFIED_RESPONSE
)
@access(MEMBER, queries=2, permission="bills:read")
async def get_bill(
    db: ReadDB, member: Member, bill_id: RowId, preconditions: Preconditions
) -> Bill | Response:
    return preconditions.respond(await bills.get(db, bill_id, viewer=member))


@router.patch(
    "/{bill_id}",
    response_model=BillOut,
    responses=responses(NotFound, Conflict, VersionMismatch),
)
@access(MEMBER, queries=3, permission="bills:write")
async def update_bill(
    db: DB, member: Member, bill_id: RowId, changes: BillUpdate, preconditions: Preconditions
) -> Bill:
    return preconditions.tag(
        await bills.update(db, bill_id, changes, by=member, versions=preconditions.versions)
    )


@router.delete(
    "/{bill_id}", status_code=204, responses=responses(NotFound, Conflict, VersionMismatch)
)
@access(MEMBER, queries=3, permission="bills:write")
async def delete_bill(db: DB, member: Member, bill_id: RowId, preconditions: Preconditions) -> None:
    await bills.remove(db, bill_id, by=member, versions=preconditions.versions)
