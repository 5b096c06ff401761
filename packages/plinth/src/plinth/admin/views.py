"""The views of users, sessions, audit events and mails."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement
from starlette.requests import Request
from starlette_admin.actions import ActionSelection, action, row_action
from starlette_admin.flash import flash
from starlette_admin.types import RequestAction

from plinth.accounts import queries
from plinth.accounts.base_user import SEARCHED
from plinth.accounts.models import Event, Mail, Session, User
from plinth.accounts.schemas.from_columns import UserForm
from plinth.accounts.schemas.user import UserAdminUpdate
from plinth.accounts.services import accounts, administration, outbox, sessions
from plinth.accounts.user_columns import COLUMNS, EDITABLE, READABLE
from plinth.admin.auth import actor
from plinth.admin.resources import is_secret
from plinth.admin.table import Table, action_transaction, form_transaction, to_text
from plinth.request.client import describe_device

END_REASON = "ended by a superuser"


class Users(Table):
    """Users. Only the owner of an account can change its password or e-mail."""

    icon = "fa-solid fa-users"
    detail_template = "user_detail.html"
    columns = tuple(name for name in READABLE if not is_secret(COLUMNS[name]))
    exclude_fields_from_list = ("updated_at",)
    exclude_fields_from_edit = tuple(name for name in READABLE if name not in EDITABLE)
    actions = ("deactivate", "end_sessions")
    row_actions = ("edit", "deactivate", "activate", "end_sessions", "resend")

    def __init__(self) -> None:
        super().__init__(User)

    def can_edit(self, request: Request) -> bool:
        return True

    def get_search_query(self, request: Request, term: str) -> ColumnElement[bool]:
        return SEARCHED.icontains(to_text(term), autoescape=True)

    async def is_row_action_allowed_for_obj(self, request: Request, name: str, obj: Any) -> bool:
        match name:
            case "deactivate":
                return bool(obj.is_active)
            case "activate":
                return not obj.is_active
            case "resend":
                return not obj.is_verified
        return await super().is_row_action_allowed_for_obj(request, name, obj)

    async def serialize(
        self, obj: Any, request: Request, *args: Any, **options: Any
    ) -> dict[str, Any]:
        shown: dict[str, Any] = await super().serialize(obj, request, *args, **options)
        if request.state.action is RequestAction.DETAIL:
            methods = await queries.identity.describe_methods(request.state.session, obj.id)
            shown["_meta"]["sign_in_methods"] = methods
        return shown

    async def edit(self, request: Request, pk: Any, data: dict[str, Any]) -> Any:
        async with form_transaction(request, default_field="username") as db:
            changes = UserForm(**{name: _parse_field(name, data[name]) for name in data})
            return await administration.change_user(db, int(pk), changes, by=actor(request).id)

    @row_action(
        "deactivate",
        "Deactivate",
        "Deactivate this user and end all sessions?",
        icon_class="fa-solid fa-user-slash",
    )
    async def deactivate(self, request: Request, pk: Any) -> None:
        await _change(request, [pk], UserAdminUpdate(is_active=False))
        flash(request, "The user was deactivated and all sessions ended.", "success")

    @row_action(
        "activate", "Activate", "Allow this user to sign in?", icon_class="fa-solid fa-user-check"
    )
    async def activate(self, request: Request, pk: Any) -> None:
        await _change(request, [pk], UserAdminUpdate(is_active=True))
        flash(request, "The user was activated.", "success")

    @row_action(
        "end_sessions",
        "End sessions",
        "End all sessions of this user?",
        icon_class="fa-solid fa-right-from-bracket",
    )
    async def end_sessions(self, request: Request, pk: Any) -> None:
        await _end_sessions(request, [pk])
        flash(request, "All sessions of the user were ended.", "success")

    @row_action(
        "resend",
        "Resend verification mail",
        "Send the verification mail again?",
        icon_class="fa-solid fa-envelope",
    )
    async def resend(self, request: Request, pk: Any) -> None:
        async with action_transaction(request) as db:
            await administration.resend_verification(db, int(pk))
        flash(request, "The verification mail was queued.", "success")

    @action(
        "deactivate",
        "Deactivate",
        "Deactivate these users and end all their sessions?",
        icon_class="fa-solid fa-user-slash",
    )
    async def deactivate_all(self, request: Request, selection: ActionSelection) -> None:
        count = await _change(request, await selection.pks(), UserAdminUpdate(is_active=False))
        flash(request, f"Users deactivated: {count}. All their sessions ended.", "success")

    @action(
        "end_sessions",
        "End sessions",
        "End all sessions of these users?",
        icon_class="fa-solid fa-right-from-bracket",
    )
    async def end_all_sessions(self, request: Request, selection: ActionSelection) -> None:
        count = await _end_sessions(request, await selection.pks())
        flash(request, f"Users whose sessions were ended: {count}.", "success")


class Sessions(Table):
    icon = "fa-solid fa-laptop"
    columns = (
        "id",
        "user_id",
        "user_agent",
        "ip",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
        "revoked_reason",
    )
    exclude_fields_from_list = ("id", "last_used_at", "revoked_reason")
    searched = ("user_agent", "ip", "revoked_reason")
    fields_default_sort = (("created_at", True),)
    row_actions = ("end",)

    def __init__(self) -> None:
        super().__init__(Session)
        device = next(field for field in self.fields if field.name == "user_agent")
        device.label = "Device"
        device.formatter = {RequestAction.LIST: lambda _, value: describe_device(value)}

    async def is_row_action_allowed_for_obj(self, request: Request, name: str, obj: Any) -> bool:
        if name == "end":
            return obj.revoked_at is None
        return await super().is_row_action_allowed_for_obj(request, name, obj)

    @row_action(
        "end",
        "End session",
        "End this session?",
        icon_class="fa-solid fa-right-from-bracket",
    )
    async def end(self, request: Request, pk: Any) -> None:
        session = await self.find_by_pk(request, pk)
        async with action_transaction(request) as db:
            if session is None:
                raise sessions.SessionNotFound
            await sessions.end(db, session.user_id, session.id, reason=END_REASON)
        flash(request, "The session was ended.", "success")


class Events(Table):
    """Audit events. The database rejects every change of them."""

    icon = "fa-solid fa-clock-rotate-left"
    columns = (
        "id",
        "at",
        "event",
        "outcome",
        "actor_id",
        "subject_id",
        "reason",
        "ip",
        "user_agent",
        "session_id",
        "request_id",
    )
    exclude_fields_from_list = ("user_agent", "session_id", "request_id")
    searched = ("event", "reason", "request_id", "ip")

    def __init__(self) -> None:
        super().__init__(Event)


class Mails(Table):
    """The outbox, without the encrypted context of the mails."""

    icon = "fa-solid fa-envelope"
    columns = (
        "id",
        "kind",
        "recipient",
        "attempts",
        "created_at",
        "next_attempt_at",
        "sent_at",
        "dead_at",
        "last_error",
    )
    exclude_fields_from_list = ("id", "next_attempt_at")
    searched = ("kind", "recipient", "last_error")
    fields_default_sort = (("created_at", True),)
    row_actions = ("retry",)

    def __init__(self) -> None:
        super().__init__(Mail)

    async def is_row_action_allowed_for_obj(self, request: Request, name: str, obj: Any) -> bool:
        if name == "retry":
            return obj.dead_at is not None
        return await super().is_row_action_allowed_for_obj(request, name, obj)

    @row_action(
        "retry",
        "Send again",
        "Queue this mail again?",
        icon_class="fa-solid fa-paper-plane",
    )
    async def retry(self, request: Request, pk: Any) -> None:
        async with action_transaction(request) as db:
            await outbox.retry(db, UUID(pk))
        flash(request, "The mail was queued again.", "success")


def _parse_field(name: str, value: Any) -> Any:
    """Convert a form value: an empty text becomes NULL if possible; times are in UTC."""
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return None if value == "" and COLUMNS[name].nullable else value


async def _change(request: Request, pks: list[Any], changes: UserAdminUpdate) -> int:
    """Change all users in one transaction. Return their number."""
    async with action_transaction(request) as db:
        for pk in pks:
            await administration.change_user(db, int(pk), changes, by=actor(request).id)
    return len(pks)


async def _end_sessions(request: Request, pks: list[Any]) -> int:
    async with action_transaction(request) as db:
        for pk in pks:
            user = await accounts.get(db, int(pk))
            await sessions.end_all(db, user.id, reason=END_REASON)
    return len(pks)
