from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

from sqlalchemy import FetchedValue, Index, LargeBinary, String, func, text
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Mapped, mapped_column

from plinth.db.models import Base


class Session(Base):
    """One sign-in on one device, and the truth about whether it still holds.

    Its refresh token changes with each use; only hashes of it are here. `successor` is the current
    token, sealed with the previous one: who lost the answer to a refresh can open it, a thief of
    this table cannot.

    Attributes:
        user_id: no foreign key, so that deleting a user deletes any number of sessions at once.
            Each query about live sessions joins the user; the worker deletes what is left.
        session_epoch: the user's, when the session began or was last kept. The trigger
            `set_session_epoch` fills it in for code that does not know it.
    """

    __tablename__ = "sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    user_id: Mapped[int] = mapped_column(index=True)
    session_epoch: Mapped[int] = mapped_column(server_default=FetchedValue())
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), info={"secret": True})
    previous_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32), info={"secret": True})
    successor: Mapped[bytes | None] = mapped_column(LargeBinary, info={"secret": True})
    rotations: Mapped[int] = mapped_column(server_default=text("0"))
    graces: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    revoked_reason: Mapped[str | None] = mapped_column(String(50))
    user_agent: Mapped[str | None] = mapped_column(String(255))
    ip: Mapped[IPv4Address | IPv6Address | None] = mapped_column(INET)


Index(
    "ix_sessions_live",
    Session.user_id,
    Session.session_epoch,
    Session.created_at.desc(),
    Session.id,
    postgresql_where=Session.revoked_at.is_(None),
)
