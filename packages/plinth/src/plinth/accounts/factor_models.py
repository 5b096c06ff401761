"""The tables of second factors, identities of providers, and pending sign-ins. Import them from
`accounts/models.py`.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from plinth.db.models import Base


class Factor(Base):
    """A second factor of a user. It counts once it is confirmed.

    Attributes:
        kind: the method, such as "totp"; its table has the rest.
    """

    __tablename__ = "factors"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    confirmed_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


Index("ix_factors_user_id", Factor.user_id, Factor.created_at, Factor.id)
Index("ix_factors_confirmed", Factor.user_id, postgresql_where=Factor.confirmed_at.is_not(None))


class TotpSecret(Base):
    """The secret of an authenticator app (RFC 6238).

    Attributes:
        key_id: the encryption key of `sealed` (`security/encryption.py`).
        last_step: the time step of the last accepted code. An older code is refused.
    """

    __tablename__ = "totp_secrets"

    factor_id: Mapped[UUID] = mapped_column(
        ForeignKey("factors.id", ondelete="CASCADE"), primary_key=True
    )
    key_id: Mapped[str] = mapped_column(String(16))
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info={"secret": True})
    last_step: Mapped[int] = mapped_column(server_default=text("0"))


class Passkey(Base):
    """A passkey: a public key credential (WebAuthn Level 3).

    Attributes:
        user_handle: the random id of the account at the authenticator, the same for all passkeys
            of a user.
        public_key: in COSE format (RFC 9052).
        sign_count: the counter of the last signature; 0 if the authenticator has none.
        aaguid: the model of the authenticator; all zeros if unknown.
        transports: how the browser reaches it, separated by spaces, such as "internal hybrid".
        is_user_verified: whether it verified the user, such as by a PIN, when it was registered or
            beside another factor. Only then it signs in on its own.
        is_backup_eligible: whether it may be synchronized. This never changes.
        is_backed_up: whether it is synchronized, so that it survives its device.
    """

    __tablename__ = "passkeys"

    factor_id: Mapped[UUID] = mapped_column(
        ForeignKey("factors.id", ondelete="CASCADE"), primary_key=True
    )
    credential_id: Mapped[bytes] = mapped_column(LargeBinary, unique=True, info={"secret": False})
    user_handle: Mapped[bytes] = mapped_column(LargeBinary)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    sign_count: Mapped[int]
    aaguid: Mapped[UUID]
    transports: Mapped[str] = mapped_column(String(100), server_default="")
    is_user_verified: Mapped[bool]
    is_backup_eligible: Mapped[bool]
    is_backed_up: Mapped[bool]


class Identity(Base):
    """An account at an identity provider that signs in a user.

    Attributes:
        provider: its name in the settings.
        subject: the provider's unchangeable id of the account.
        email: as the provider last told it; for display only.
    """

    __tablename__ = "identities"
    __table_args__ = (
        UniqueConstraint(
            "issuer",
            "subject",
            info={"violated": ("identity_taken", "This identity is linked to another account")},
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    provider: Mapped[str] = mapped_column(String(50))
    issuer: Mapped[str] = mapped_column(String(255))
    subject: Mapped[str] = mapped_column(String(255))
    email: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime | None]


Index("ix_identities_user_id", Identity.user_id, Identity.created_at, Identity.id)


class RecoveryCode(Base):
    """An unused recovery code, which replaces a second factor once."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    code_hash: Mapped[bytes] = mapped_column(
        LargeBinary(32), primary_key=True, info={"secret": True}
    )


class Challenge(Base):
    """A pending sign-in. The row exists as long as it can be completed.

    Attributes:
        kind: the purpose; a challenge is valid for one purpose only.
        browser_hash: hash of a value in a cookie of the requesting browser.
        credential_epoch: of the user when the challenge was made. A change voids it.
        amr: the methods that the user has completed, as in `Session`.
        sealed: encrypted content that only the server reads (`security/encryption.py`).
        attempts: the number of wrong answers.
    """

    __tablename__ = "challenges"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    kind: Mapped[str] = mapped_column(String(20))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32), info={"secret": True})
    browser_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32), info={"secret": True})
    credential_epoch: Mapped[int | None]
    amr: Mapped[str] = mapped_column(String(100), server_default="")
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary, info={"secret": True})
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]


Index("ix_challenges_user_id", Challenge.user_id, Challenge.kind, Challenge.created_at.desc())
Index("ix_challenges_expires_at", Challenge.expires_at)
