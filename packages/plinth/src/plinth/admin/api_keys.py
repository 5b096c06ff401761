"""The view of API keys, without their hashes. A superuser may revoke a key."""

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette_admin.actions import ActionSelection, action, row_action
from starlette_admin.flash import flash

from plinth.accounts.models import ApiKey
from plinth.accounts.services.api_keys import lifecycle
from plinth.admin.table import Table, action_transaction

REASON = "revoked by a superuser"


class ApiKeys(Table):
    icon = "fa-solid fa-key"
    label = "API keys"
    columns = (
        "id",
        "user_id",
        "name",
        "scopes",
        "networks",
        "created_by",
        "created_at",
        "expires_at",
        "last_used_on",
        "revoked_at",
        "revoked_reason",
    )
    exclude_fields_from_list = ("id", "networks", "created_by", "revoked_reason")
    searched = ("name", "id", "revoked_reason")
    fields_default_sort = (("created_at", True),)
    actions = ("revoke",)
    row_actions = ("revoke",)

    def __init__(self) -> None:
        super().__init__(ApiKey)

    async def is_row_action_allowed_for_obj(self, request: Request, name: str, obj: Any) -> bool:
        if name == "revoke":
            return obj.revoked_at is None
        return await super().is_row_action_allowed_for_obj(request, name, obj)

    @row_action(
        "revoke",
        "Revoke",
        "Revoke this key? Programs that use it lose access at once.",
        icon_class="fa-solid fa-ban",
    )
    async def revoke(self, request: Request, pk: Any) -> None:
        await _revoke(request, [pk])
        flash(request, "The key was revoked, and its owner is notified.", "success")

    @action(
        "revoke",
        "Revoke",
        "Revoke these keys? Programs that use them lose access at once.",
        icon_class="fa-solid fa-ban",
    )
    async def revoke_all(self, request: Request, selection: ActionSelection) -> None:
        count = await _revoke(request, await selection.pks())
        flash(request, f"Keys revoked: {count}.", "success")


async def _revoke(request: Request, pks: list[Any]) -> int:
    async with action_transaction(request) as db:
        for pk in pks:
            await lifecycle.revoke_by_operator(db, UUID(str(pk)), reason=REASON)
    return len(pks)
