from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary, String, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from plinth.db.models import NumberedBase


class OneTimeToken(NumberedBase):
    """The newest token of a user and a purpose, as a link in a mail carries it; only its hash is
    here. The row exists as long as the token can be used. When a newer one takes its place, it
    moves to `EarlierOneTimeToken`.
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


class EarlierOneTimeToken(NumberedBase):
    """A token that was sent to the same address before the newest one, and is valid beside it: a
    request for another mail does not void the link that the owner has already got.

    Removing the newest one, because one of them was used or all are void, removes these too.
    """

    __tablename__ = "earlier_one_time_tokens"

    newest_id: Mapped[int] = mapped_column(
        ForeignKey("one_time_tokens.id", ondelete="CASCADE"), index=True
    )
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True, info={"secret": True})
    expires_at: Mapped[datetime]
