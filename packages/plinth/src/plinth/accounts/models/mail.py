from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, String, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from plinth.db.models import Base


class Mail(Base):
    """A mail to be sent, written in the transaction of its cause.

    It waits until `sent_at` or `dead_at` says how it ended. `attempts` counts how often it was
    taken, so that whoever was too slow (`leased_until`) cannot write over the next one's work.
    """

    __tablename__ = "mails"
    __table_args__ = (
        CheckConstraint("sent_at IS NULL OR sealed IS NULL", name="erased_once_sent"),
        CheckConstraint("sent_at IS NULL OR dead_at IS NULL", name="ends_once"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    kind: Mapped[str] = mapped_column(String(50))
    recipient: Mapped[str | None] = mapped_column(String(255))
    """None while it is not known whether there is one: the worker looks."""
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary, info={"secret": True})
    """What the template is filled with, a token in it maybe; see `accounts/services/outbox.py`."""
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now())
    leased_until: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    dead_at: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


Index(
    "ix_mails_next_attempt_at",
    Mail.next_attempt_at,
    postgresql_where=Mail.sent_at.is_(None) & Mail.dead_at.is_(None),
)
Index("ix_mails_dead_at", Mail.dead_at, postgresql_where=Mail.dead_at.is_not(None))
Index("ix_mails_created_at", Mail.created_at)
