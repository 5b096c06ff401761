"""The tables of accounts. `User` is the application's subclass of `BaseUser`."""

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    FetchedValue,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Mapped, mapped_column

from plinth.accounts.api_key_model import ApiKey
from plinth.accounts.base_user import load_user_model
from plinth.accounts.factor_models import (
    Challenge,
    Factor,
    Identity,
    Passkey,
    RecoveryCode,
    TotpSecret,
)
from plinth.db.models import Base, NumberedBase


class Session(Base):
    """One sign-in on one device.

    The refresh token changes with each use, and only hashes are stored. `successor` is the current
    token, encrypted with the previous one: a client that lost the response to a refresh can decrypt
    it, a thief of this table cannot.

    Attributes:
        user_id: without a foreign key, so that deleting a user does not have to delete any number
            of sessions at once. Queries of live sessions join the user; the worker deletes orphans.
        session_epoch: the user's `session_epoch` when the session started or was last kept. The
            trigger `set_session_epoch` sets it for code of earlier releases.
        aal: authenticator assurance level, 1 or 2 (NIST SP 800-63B). The trigger
            `require_second_factor` refuses level 1 if the user has a confirmed factor.
        amr: the authentication methods (RFC 8176), separated by spaces.
        authenticated_at: the last sign-in or step-up, or when an identity provider authenticated
            the user; None means `created_at`.
        acting_user_id: the superuser who impersonates the user; None in the user's own sessions.
        acting_session_id: the session of that superuser. With it, this session ends.
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
    aal: Mapped[int] = mapped_column(server_default=text("1"))
    amr: Mapped[str] = mapped_column(String(100), server_default="pwd")
    authenticated_at: Mapped[datetime | None]
    acting_user_id: Mapped[int | None]
    acting_session_id: Mapped[UUID | None]


Index(
    "ix_sessions_live",
    Session.user_id,
    Session.session_epoch,
    Session.created_at.desc(),
    Session.id,
    postgresql_where=Session.revoked_at.is_(None),
)


class SessionCleanup(Base):
    """A user, possibly deleted, with more ended sessions than one request can mark or delete.

    The worker deletes them. Their epoch has already revoked them; until a deployment is complete,
    instances of the previous release, which ignore the epoch, run beside this one.
    """

    __tablename__ = "session_cleanups"

    user_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)


class OneTimeToken(NumberedBase):
    """The newest token of a user for a purpose, as sent in the link of a mail.

    The row exists as long as the token can be used. A newer token replaces it and moves it to
    `EarlierOneTimeToken`.

    Attributes:
        email: the address that the token is mailed to, and that using it verifies.
        session_id: the session that requested it. A change of e-mail keeps this session and
            revokes the others.
    """

    __tablename__ = "one_time_tokens"
    __table_args__ = (UniqueConstraint("user_id", "purpose"),)

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[str] = mapped_column(String(20))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True, info={"secret": True})
    email: Mapped[str] = mapped_column(String(255))
    session_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]


class EarlierOneTimeToken(NumberedBase):
    """A token that was sent to the same address before the newest one, and that is still valid.

    So a request for another mail does not invalidate the link that the owner already has. Deleting
    the newest token deletes these as well.
    """

    __tablename__ = "earlier_one_time_tokens"

    newest_id: Mapped[int] = mapped_column(
        ForeignKey("one_time_tokens.id", ondelete="CASCADE"), index=True
    )
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True, info={"secret": True})
    expires_at: Mapped[datetime]


class Mail(Base):
    """A mail in the outbox, written in the transaction that causes it.

    It waits until `sent_at` or `dead_at` is set.

    Attributes:
        recipient: None for a queued request whose account the worker looks up.
        sealed: the encrypted context of the template, which may contain a token. It is erased when
            the mail is sent (`accounts/services/outbox.py`).
        attempts: incremented by each lease, so that a worker whose lease has expired
            (`leased_until`) cannot overwrite the result of the next one.
        dead_at: the time of the final failure.
    """

    __tablename__ = "mails"
    __table_args__ = (
        CheckConstraint("sent_at IS NULL OR sealed IS NULL", name="erased_once_sent"),
        CheckConstraint("sent_at IS NULL OR dead_at IS NULL", name="ends_once"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    kind: Mapped[str] = mapped_column(String(50))
    recipient: Mapped[str | None] = mapped_column(String(255))
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary, info={"secret": True})
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


class Event(Base):
    """An event of the audit log, linked to the previous one by a hash. Rows are never changed.

    The trigger `chain_event` assigns `id` without gaps, `at` and `hash`. The hash covers all
    columns except `ip` and `user_agent`. Of these it covers `personal`, a salted digest, so that
    they can be erased without breaking the chain. There are no foreign keys, since events outlive
    their users.
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
    # Not secret: the chain can be verified with it.
    hash: Mapped[bytes] = mapped_column(
        LargeBinary(32), server_default=text("''"), info={"secret": False}
    )


Index("ix_events_subject_id", Event.subject_id, Event.id.desc())
Index("ix_events_at", Event.at, postgresql_using="brin")


class EventCheckpoint(Base):
    """The end of the deleted part of the audit log, from which `plinth audit verify` starts.

    There is one row at most. Only the database functions `prune_events` and
    `resign_event_checkpoint` write it.

    Attributes:
        last_id: of the deleted events, which are those from 1 on.
        hash: of the last deleted event.
        newest_at: the time of the last deleted event.
        deleted_at: the time of the deletion.
        signature: of the other columns (`accounts/services/retention/checkpoints.py`).
    """

    __tablename__ = "event_checkpoints"

    last_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[bytes] = mapped_column(LargeBinary(32), info={"secret": False})
    newest_at: Mapped[datetime]
    deleted_at: Mapped[datetime]
    signature: Mapped[bytes] = mapped_column(LargeBinary(32))


if TYPE_CHECKING:
    from plinth.accounts.base_user import BaseUser as User
else:
    # Last, since this imports the application's models, which import the tables above.
    User = load_user_model()

__all__ = [
    "ApiKey",
    "Challenge",
    "EarlierOneTimeToken",
    "Event",
    "EventCheckpoint",
    "Factor",
    "Identity",
    "Mail",
    "OneTimeToken",
    "Passkey",
    "RecoveryCode",
    "Session",
    "SessionCleanup",
    "TotpSecret",
    "User",
]
