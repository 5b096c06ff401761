"""The admin at `/admin`, built on starlette-admin. Imported only if ADMIN_ENABLED is on.

Pages read in a read-only transaction. A change calls a service, or is written together with its
audit event in one transaction.
"""

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount
from starlette_admin.base import BaseAdmin
from starlette_admin.i18n import TimezoneConfig
from starlette_admin.routing import route

from plinth.admin.api_keys import ApiKeys
from plinth.admin.auth import AdminAuth
from plinth.admin.dashboard import Dashboard
from plinth.admin.middleware import ADMIN_PATH, AdminMiddleware
from plinth.admin.organizations import Invitations, Memberships, Organizations
from plinth.admin.resources import Resource, find_plain_models
from plinth.admin.table import Table
from plinth.admin.templating import LOADERS
from plinth.admin.tenant import OrganizationChoice, OrganizationResource
from plinth.admin.views import Events, Mails, Sessions, Users
from plinth.config import settings
from plinth.db.models import OrganizationOwned
from plinth.http.assets import Assets
from plinth.security.signing import derive_key

HERE = Path(__file__).parent
VIEWS: tuple[Callable[[], Table], ...] = (
    Users,
    Sessions,
    ApiKeys,
    Organizations,
    Memberships,
    Invitations,
    Events,
    Mails,
)


def install(app: FastAPI, models: Sequence[type[Any]] | None = None) -> None:
    """Mount the admin.

    Args:
        models: the models without a view of their own to show; all of them by default.
    """
    # starlette-admin logs errors that it also raises, and form input.
    logging.getLogger("starlette_admin").setLevel(logging.CRITICAL)
    admin = _Admin(
        title=settings.PROJECT_NAME,
        base_url=ADMIN_PATH,
        templates_dir=str(HERE / "templates"),
        additional_loaders=LOADERS,
        index_view=Dashboard(),
        auth_provider=AdminAuth(),
        # Signs the cookies of flash messages and CSRF tokens.
        secret_key=derive_key("plinth admin cookies").hex(),
        timezone_config=TimezoneConfig(timezone_cookie_name=None, use_user_locale_timezone=False),
        favicon_url=lambda request: str(request.url_for("admin:static", path="icon.svg")),
    )
    for view in VIEWS:
        admin.add_view(view())
    shown = find_plain_models() if models is None else models
    if any(issubclass(model, OrganizationOwned) for model in shown):
        admin.add_view(OrganizationChoice())
    for model in shown:
        is_of_organization = issubclass(model, OrganizationOwned)
        admin.add_view(OrganizationResource(model) if is_of_organization else Resource(model))
    assets = Assets(HERE / "static", Path(str(files("starlette_admin"))) / "static")
    admin.templates.env.globals["own_asset"] = lambda request, name: request.url_for(
        "admin:static", path=f"/{assets.versioned(name)}"
    )
    admin.mount_to(Starlette())
    app.router.routes += [
        Mount(f"{ADMIN_PATH}/static", assets),
        Mount(ADMIN_PATH, AdminMiddleware(admin.app, app), name=admin.route_name),
    ]


class _Admin(BaseAdmin):
    @route("/_api/{key}/action", methods=["POST"], name="action")
    async def handle_action(self, request: Request) -> Response:
        if not request.query_params.get("name"):  # starlette-admin would return 500
            return JSONResponse(
                {"msg": "The query parameter 'name' is missing"}, HTTPStatus.BAD_REQUEST
            )
        response: Response = await super().handle_action(request)
        return response
