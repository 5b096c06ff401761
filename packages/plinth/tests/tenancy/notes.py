from sqlalchemy import MetaData, bindparam, func, insert, select
from sqlalchemy.orm import Mapped, mapped_column

from plinth.db.models import NAMING_CONVENTION, NumberedBase
from plinth.db.reading import Query, SharedQuery

OURS, OTHER = 71, 72  # organizations


class Apart(NumberedBase):
    __abstract__ = True
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Note(Apart):
    __tablename__ = "tenant_notes"

    organization_id: Mapped[int]
    body: Mapped[str] = mapped_column()


ALL = Query(select(Note.organization_id))
SHARED = SharedQuery(ALL)
FAILING = Query(
    select((1 / func.nullif(Note.organization_id - Note.organization_id, 1)).label("it"))
)
ADD = Query(
    insert(Note)  # type: ignore[arg-type]
    .values(organization_id=bindparam("owner"), body="added")
    .returning(Note.organization_id)
)
