"""The table of API keys."""

from datetime import date, datetime
from ipaddress import IPv4Network, IPv6Network
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import CIDR
from sqlalchemy.orm import Mapped, mapped_column

from plinth.db.models import Base


class ApiKey(Base):
    """A key with which a program uses the API for a user.

    Attributes:
        hash: the SHA-256 of the key (`security/api_keys`).
        scopes: the permissions of the key. Those that no route declares any more have no effect.
        networks: the networks that may use the key; all if it is empty.
        created_by: the user who created the key; for a service account, not its owner.
        last_used_on: the date (UTC) of the last use. It is written once a day, after the response.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("octet_length(hash) = 32", name="hash_is_sha256"),
        CheckConstraint("expires_at > created_at", name="expires_after_creation"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    hash: Mapped[bytes] = mapped_column(LargeBinary(32), info={"secret": True})
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    networks: Mapped[list[IPv4Network | IPv6Network]] = mapped_column(
        ARRAY(CIDR), server_default=text("'{}'")
    )
    created_by: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    last_used_on: Mapped[date | None]
    revoked_at: Mapped[datetime | None]
    revoked_reason: Mapped[str | None] = mapped_column(String(50))


Index("ix_api_keys_user_id", ApiKey.user_id, ApiKey.created_at.desc(), ApiKey.id)
