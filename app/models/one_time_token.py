from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary, String, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import NumberedBase


class OneTimeToken(NumberedBase):
    """What a link in a mail carries; only its hash is here. The row is there as long as the token
    can be used: using it removes the row, a new one of the same purpose takes its place.
    """

    __tablename__ = "one_time_tokens"
    __table_args__ = (UniqueConstraint("user_id", "purpose"),)

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[str] = mapped_column(String(20))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True, info={"secret": True})
    email: Mapped[str] = mapped_column(String(255))
    """The address that the mail goes to, and that using the token proves."""
    session_id: Mapped[UUID | None]
    """The session that asked; a change of e-mail keeps it and ends the others."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
