"""The tables of organizations, their members and their invitations."""

from datetime import datetime

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from plinth.db.models import Base, NumberedBase, Timestamped

MAX_SLUG_LENGTH = 50
SLUG_TAKEN = ("slug_taken", "Another organization has, or recently had, this slug")
SERVICE_OWNER = ("service_account_owner", "A service account cannot be an owner")


class Organization(Timestamped, NumberedBase):
    """A customer: a group of users who share data.

    The trigger `refuse_released_slug` refuses the slug of another organization for 90 days after it
    was given up.

    Attributes:
        slug: the name in URLs, in lower case. It may change; `id` never does.
    """

    __tablename__ = "organizations"
    __table_args__ = (
        UniqueConstraint("slug", info={"conflict": SLUG_TAKEN}),
        CheckConstraint("slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'", name="slug_is_normal"),
        {"info": {"raised": {"ck_organizations_slug_released": {"conflict": SLUG_TAKEN}}}},
    )

    slug: Mapped[str] = mapped_column(String(MAX_SLUG_LENGTH))
    name: Mapped[str] = mapped_column(String(100))


class Membership(Base):
    """A user who belongs to an organization.

    The triggers `require_owner_*` refuse to remove or demote the last owner, also by a deletion of
    the user.

    Attributes:
        role: a name of `Settings.ORGANIZATION_ROLES`. One that is no longer declared has no
            permissions.
    """

    __tablename__ = "memberships"
    __table_args__ = (
        PrimaryKeyConstraint(
            "organization_id",
            "user_id",
            info={"conflict": ("already_member", "This user is a member already")},
        ),
        {
            "info": {
                "raised": {
                    "ck_memberships_last_owner": {"conflict": ("last_owner", None)},
                    "ck_memberships_service_owner": {"conflict": SERVICE_OWNER},
                }
            }
        },
    )

    organization_id: Mapped[int] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), autoincrement=False
    )
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), autoincrement=False
    )
    role: Mapped[str] = mapped_column(String(50))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


Index("ix_memberships_user_id", Membership.user_id, Membership.organization_id)


class ServiceAccount(Base):
    """A user of an organization who cannot sign in, and uses the API by keys.

    The trigger `refuse_service_session` refuses a session of the user, and `refuse_service_owner`
    the role of an owner. When the membership ends, `delete_service_user` deletes the user with all
    keys.
    """

    __tablename__ = "service_accounts"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["memberships.organization_id", "memberships.user_id"],
            ondelete="CASCADE",
        ),
    )

    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    organization_id: Mapped[int]
    name: Mapped[str] = mapped_column(String(100))
    created_by: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


Index(
    "ix_service_accounts_organization_id",
    ServiceAccount.organization_id,
    ServiceAccount.created_at,
    ServiceAccount.user_id,
)


class Invitation(NumberedBase):
    """An invitation that was mailed to an address. The row exists as long as it can be accepted.

    A newer one to the same address replaces it.

    Attributes:
        email_canonical: the key that the address of the accepting user must equal.
        inviter_id: the member who must still be allowed to invite when it is accepted.
    """

    __tablename__ = "invitations"
    __table_args__ = (UniqueConstraint("organization_id", "email_canonical"),)

    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    email: Mapped[str] = mapped_column(String(255))
    email_canonical: Mapped[str] = mapped_column(Text(collation="C"), info={"secret": True})
    role: Mapped[str] = mapped_column(String(50))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True, info={"secret": True})
    inviter_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]


class ReleasedSlug(Base):
    """A slug that an organization gave up, by a change or by its deletion.

    Triggers of `organizations` write it.
    """

    __tablename__ = "released_slugs"

    slug: Mapped[str] = mapped_column(String(MAX_SLUG_LENGTH), primary_key=True)
    organization_id: Mapped[int]
    released_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
