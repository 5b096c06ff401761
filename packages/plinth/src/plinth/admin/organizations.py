"""The views of organizations, their members and their invitations. They are read-only."""

from plinth.admin.table import Table
from plinth.organizations.models import Invitation, Membership, Organization


class Organizations(Table):
    icon = "fa-solid fa-building"
    columns = ("id", "slug", "name", "created_at", "updated_at")
    searched = ("slug", "name")

    def __init__(self) -> None:
        super().__init__(Organization)


class Memberships(Table):
    icon = "fa-solid fa-user-group"
    columns = ("organization_id", "user_id", "role", "created_at")
    searched = ("role",)
    fields_default_sort = (("created_at", True),)

    def __init__(self) -> None:
        super().__init__(Membership)


class Invitations(Table):
    icon = "fa-solid fa-envelope-open"
    columns = ("id", "organization_id", "email", "role", "inviter_id", "created_at", "expires_at")
    searched = ("email", "role")

    def __init__(self) -> None:
        super().__init__(Invitation)
