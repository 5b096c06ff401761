"""The tables that superusers look at, and the few things that they may do there."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement
from starlette.requests import Request
from starlette_admin.actions import ActionSelection, action, row_action
from starlette_admin.flash import flash
from starlette_admin.types import RequestAction

from plinth.accounts.base_user import SEARCHED
from plinth.accounts.models import Event, Mail, Session, User
from plinth.accounts.schemas.user import UserAdminUpdate
from plinth.accounts.schemas.user_form import UserForm
from plinth.accounts.services import accounts, administration, outbox, sessions
from plinth.accounts.user_columns import COLUMNS, EDITABLE, READABLE
from plinth.admin.auth import actor
from plinth.admin.resources import is_secret
from plinth.admin.table import Table, to_text
from plinth.admin.transactions import acting, saving
from plinth.request.client import describe_device

ENDED = "ended by a superuser"


class Users(Table):
    """No password and no e-mail is changed here: that takes a proof that only its owner has."""

    icon = "fa-solid fa-users"
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

    async def edit(self, request: Request, pk: Any, data: dict[str, Any]) -> Any:
        async with saving(request, blame="username") as db:
            changes = UserForm(**{name: _read_field(name, data[name]) for name in data})
            return await administration.change_user(db, int(pk), changes, by=actor(request).id)

    @row_action(
        "deactivate",
        "Deactivate",
        "Deactivate this user, and end their sessions?",
        icon_class="fa-solid fa-user-slash",
    )
    async def deactivate(self, request: Request, pk: Any) -> None:
        await _change(request, [pk], UserAdminUpdate(is_active=False))
        flash(request, "Deactivated; their sessions have ended.", "success")

    @row_action(
        "activate", "Activate", "Let this user sign in again?", icon_class="fa-solid fa-user-check"
    )
    async def activate(self, request: Request, pk: Any) -> None:
        await _change(request, [pk], UserAdminUpdate(is_active=True))
        flash(request, "Activated.", "success")

    @row_action(
        "end_sessions",
        "End sessions",
        "Sign this user out everywhere?",
        icon_class="fa-solid fa-right-from-bracket",
    )
    async def end_sessions(self, request: Request, pk: Any) -> None:
        await _end_sessions(request, [pk])
        flash(request, "Their sessions have ended.", "success")

    @row_action(
        "resend",
        "Resend verification mail",
        "Send the verification mail once more?",
        icon_class="fa-solid fa-envelope",
    )
    async def resend(self, request: Request, pk: Any) -> None:
        async with acting(request) as db:
            await administration.resend_verification(db, int(pk))
        flash(request, "The mail is on its way.", "success")

    @action(
        "deactivate",
        "Deactivate",
        "Deactivate these users, and end their sessions?",
        icon_class="fa-solid fa-user-slash",
    )
    async def deactivate_all(self, request: Request, selection: ActionSelection) -> None:
        count = await _change(request, await selection.pks(), UserAdminUpdate(is_active=False))
        flash(request, f"{count} deactivated; their sessions have ended.", "success")

    @action(
        "end_sessions",
        "End sessions",
        "Sign these users out everywhere?",
        icon_class="fa-solid fa-right-from-bracket",
    )
    async def end_all_sessions(self, request: Request, selection: ActionSelection) -> None:
        count = await _end_sessions(request, await selection.pks())
        flash(request, f"{count} signed out everywhere.", "success")


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
        "Sign out whoever uses this session?",
        icon_class="fa-solid fa-right-from-bracket",
    )
    async def end(self, request: Request, pk: Any) -> None:
        session = await self.find_by_pk(request, pk)
        async with acting(request) as db:
            if session is None:
                raise sessions.SessionNotFound
            await sessions.end(db, session.user_id, session.id, reason=ENDED)
        flash(request, "The session has ended.", "success")


class Events(Table):
    """The database refuses whoever would change them, superusers as well."""

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
    """What a mail says is sealed, and is not opened here."""

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
        "Send after all",
        "Try to send this mail again?",
        icon_class="fa-solid fa-paper-plane",
    )
    async def retry(self, request: Request, pk: Any) -> None:
        async with acting(request) as db:
            await outbox.retry(db, UUID(pk))
        flash(request, "The mail is waiting to be sent again.", "success")


def _read_field(name: str, value: Any) -> Any:
    """Return what a field of the form means: an empty one is NULL, a time is in UTC."""
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return None if value == "" and COLUMNS[name].nullable else value


async def _change(request: Request, pks: list[Any], changes: UserAdminUpdate) -> int:
    """All of them or none."""
    async with acting(request) as db:
        for pk in pks:
            await administration.change_user(db, int(pk), changes, by=actor(request).id)
    return len(pks)


async def _end_sessions(request: Request, pks: list[Any]) -> int:
    async with acting(request) as db:
        for pk in pks:
            user = await accounts.get(db, int(pk))
            await sessions.end_all(db, user.id, reason=ENDED)
    return len(pks)
