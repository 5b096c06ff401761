"""Who may see the admin's pages: superusers, by a cookie whose session is a row like any other."""

from dataclasses import dataclass, field
from http import HTTPStatus

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates
from starlette_admin.auth import AdminUser
from starlette_admin.auth.base import BaseAuthProvider
from starlette_admin.helpers import index_url, safe_redirect_url

from plinth.accounts.queries.principal import Principal
from plinth.accounts.schemas.auth import Credentials
from plinth.accounts.services import sessions
from plinth.admin import sessions as admin_sessions
from plinth.config import settings
from plinth.db.database import release
from plinth.errors import PlinthError
from plinth.http.problems import describe
from plinth.request.client import Client
from plinth.request.context import current_request
from plinth.request.cookies import find_cookie
from plinth.security import devices
from plinth.security.cookie_tokens import CookieToken

COOKIE = "plinth_admin"


@dataclass
class Superuser(AdminUser):
    principal: Principal = field(kw_only=True)


def actor(request: Request) -> Principal:
    user: Superuser = request.state.admin_user
    return user.principal


class AdminAuth(BaseAuthProvider):
    async def authenticate(self, request: Request) -> AdminUser | None:
        db: AsyncSession = request.state.session
        user = await admin_sessions.authenticate(db, find_cookie(request.scope, COOKIE))
        await release(db)  # a body may be slow to arrive, and anyone can make up a cookie
        if user is None:
            return None
        if info := current_request():
            info.user_id, info.session_id = user.id, user.session_id
        return Superuser(username=user.username, principal=user)

    def get_routes(self, templates: Jinja2Templates) -> list[Route]:
        async def come(request: Request) -> Response:
            return await self._come(request, templates)

        return [
            Route(self.login_path, come, methods=["GET", "POST"], name="login"),
            Route(self.logout_path, self._leave, methods=["POST"], name="logout"),
        ]

    async def _come(self, request: Request, templates: Jinja2Templates) -> Response:
        front = index_url(request)
        destination = safe_redirect_url(request.query_params.get("next") or front, request, front)
        if not request.state.is_anonymous:
            return RedirectResponse(destination, HTTPStatus.SEE_OTHER)
        if request.method != "POST":
            return templates.TemplateResponse(request, "login.html")
        form = await request.form()
        typed = {"email": form.get("email"), "password": form.get("password")}
        try:
            credentials = Credentials.model_validate(typed)
            token, account = await self._sign_in(request, credentials)
        except (PlinthError, ValidationError) as refusal:
            return _refuse(request, templates, refusal, typed["email"])
        answer = RedirectResponse(destination, HTTPStatus.SEE_OTHER)
        _set_cookies(request, answer, token, account)
        return answer

    async def _sign_in(
        self, request: Request, credentials: Credentials
    ) -> tuple[CookieToken, devices.Account]:
        info = current_request()
        client = info.client if info else Client(None, None)
        device = find_cookie(request.scope, devices.COOKIE)
        await release(request.state.session)  # nothing is held while the password is hashed
        return await admin_sessions.sign_in(
            request.state.resources.database,
            credentials.email,
            credentials.password,
            client,
            device,
        )

    async def _leave(self, request: Request) -> Response:
        user = actor(request)
        async with request.state.resources.database.transaction() as db:
            await sessions.end(db, user.id, user.session_id, reason="signed out")
        answer = RedirectResponse(request.url_for("admin:login"), HTTPStatus.SEE_OTHER)
        answer.delete_cookie(COOKIE, path=request.scope["root_path"])
        return answer


def _refuse(
    request: Request,
    templates: Jinja2Templates,
    refusal: PlinthError | ValidationError,
    email: object,
) -> Response:
    if isinstance(refusal, PlinthError):
        status, headers = describe(refusal)
        detail = refusal.detail
    else:
        status, headers = HTTPStatus.UNPROCESSABLE_ENTITY, dict[str, str]()
        detail = "An e-mail and a password, please"
    headers.pop("WWW-Authenticate", None)  # it would say that a bearer token helps here
    context = {"error": detail, "email": email if isinstance(email, str) else ""}
    return templates.TemplateResponse(
        request, "login.html", context, status_code=status, headers=headers
    )


def _set_cookies(
    request: Request, answer: Response, token: CookieToken, account: devices.Account
) -> None:
    path = request.scope["root_path"]
    secure = not settings.is_development
    answer.set_cookie(
        COOKIE,
        token.text,
        max_age=settings.ADMIN_SESSION_HOURS * 3600,
        path=path,
        secure=secure,
        httponly=True,
        samesite="strict",
    )
    answer.set_cookie(
        devices.COOKIE,
        devices.remember(find_cookie(request.scope, devices.COOKIE), account),
        max_age=devices.SECONDS,
        path=path,
        secure=secure,
        httponly=True,
        samesite="strict",
    )
