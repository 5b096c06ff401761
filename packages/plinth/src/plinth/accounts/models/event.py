from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

from sqlalchemy import Index, LargeBinary, String, Text, func, text
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Mapped, mapped_column

from plinth.db.models import Base


class Event(Base):
    """What happened, for good: rows are only ever added, and each is chained to the one before.

    The trigger `chain_event` (see the migration) gives out `id` without gaps, `at` and `hash`. The
    hash covers every column but `ip` and `user_agent`, of which it covers the salted `personal`: a
    person's traces can be erased, and the chain still holds. There are no foreign keys, since the
    rows outlive whom they speak of.
    """

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, server_default=text("0"))
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    event: Mapped[str] = mapped_column(String(50))
    outcome: Mapped[str] = mapped_column(String(10))
    actor_id: Mapped[int | None]
    subject_id: Mapped[int | None]
    session_id: Mapped[UUID | None]
    request_id: Mapped[str | None] = mapped_column(String(64))
    reason: Mapped[str | None] = mapped_column(Text)
    ip: Mapped[IPv4Address | IPv6Address | None] = mapped_column(INET)
    user_agent: Mapped[str | None] = mapped_column(String(255))
    salt: Mapped[bytes | None] = mapped_column(LargeBinary(16))
    personal: Mapped[bytes] = mapped_column(LargeBinary(32))
    # Not a secret: anyone may check the chain with it.
    hash: Mapped[bytes] = mapped_column(
        LargeBinary(32), server_default=text("''"), info={"secret": False}
    )


Index("ix_events_subject_id", Event.subject_id, Event.id.desc())
Index("ix_events_at", Event.at, postgresql_using="brin")
