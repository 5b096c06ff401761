"""Authentication of the admin: superusers only, by a session that a cookie identifies."""

from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import NoReturn
from uuid import uuid4

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates
from starlette_admin.auth import AdminUser
from starlette_admin.auth.base import BaseAuthProvider
from starlette_admin.helpers import index_url, safe_redirect_url

from plinth.accounts.queries.principal import Principal, load_by_token
from plinth.accounts.schemas.auth import Credentials
from plinth.accounts.services import audit, authentication, sessions
from plinth.accounts.services.authentication import AuthenticatedUser
from plinth.config import settings
from plinth.db.database import Database, after_commit, release
from plinth.errors import PermissionDenied, PlinthError
from plinth.http.problems import describe
from plinth.request.client import Client
from plinth.request.context import current_request
from plinth.request.cookies import find_cookie
from plinth.security import devices
from plinth.security.cookie_tokens import CookieToken, make_cookie_token, parse_cookie_token

COOKIE = "plinth_admin"


class NotASuperuser(PermissionDenied):
    detail = "Only superusers may sign in here"
    commit_on_error = True  # keeps the audit event


@dataclass
class Superuser(AdminUser):
    principal: Principal = field(kw_only=True)


def actor(request: Request) -> Principal:
    """Return the signed-in superuser."""
    user: Superuser = request.state.admin_user
    return user.principal


class AdminAuth(BaseAuthProvider):
    async def authenticate(self, request: Request) -> AdminUser | None:
        db: AsyncSession = request.state.session
        user = await _load_superuser(db, find_cookie(request.scope, COOKIE))
        await release(db)  # anyone can send a cookie and then a slow body
        if user is None:
            return None
        if info := current_request():
            info.user_id, info.session_id = user.id, user.session_id
        return Superuser(username=user.username, principal=user)

    def get_routes(self, templates: Jinja2Templates) -> list[Route]:
        async def login(request: Request) -> Response:
            return await self._login(request, templates)

        return [
            Route(self.login_path, login, methods=["GET", "POST"], name="login"),
            Route(self.logout_path, self._logout, methods=["POST"], name="logout"),
        ]

    async def _login(self, request: Request, templates: Jinja2Templates) -> Response:
        index = index_url(request)
        destination = safe_redirect_url(request.query_params.get("next") or index, request, index)
        if not request.state.is_anonymous:
            return RedirectResponse(destination, HTTPStatus.SEE_OTHER)
        if request.method != "POST":
            return templates.TemplateResponse(request, "login.html")
        form = await request.form()
        values = {"email": form.get("email"), "password": form.get("password")}
        try:
            credentials = Credentials.model_validate(values)
            token, account = await self._sign_in(request, credentials)
        except (PlinthError, ValidationError) as error:
            return _render_error(request, templates, error, values["email"])
        response = RedirectResponse(destination, HTTPStatus.SEE_OTHER)
        _set_cookies(request, response, token, account)
        return response

    async def _sign_in(
        self, request: Request, credentials: Credentials
    ) -> tuple[CookieToken, devices.Account]:
        info = current_request()
        client = info.client if info else Client(None, None)
        device = find_cookie(request.scope, devices.COOKIE)
        await release(request.state.session)  # hold no connection while the password is hashed
        return await sign_in(
            request.state.resources.database,
            credentials.email,
            credentials.password,
            client,
            device,
        )

    async def _logout(self, request: Request) -> Response:
        user = actor(request)
        async with request.state.resources.database.transaction() as db:
            await sessions.end(db, user.id, user.session_id, reason="signed out")
        response = RedirectResponse(request.url_for("admin:login"), HTTPStatus.SEE_OTHER)
        response.delete_cookie(COOKIE, path=request.scope["root_path"])
        return response


async def sign_in(
    database: Database, email: str, password: str, client: Client, device: str | None = None
) -> tuple[CookieToken, devices.Account]:
    """Start a session of a superuser, with the limits and errors of `sessions.sign_in`.

    The session has no access or refresh token, and ends after `ADMIN_SESSION_HOURS`.

    Raises:
        NotASuperuser: the password is right.
    """
    authenticated = await authentication.authenticate_credentials(
        database, email, password, client, device
    )
    if not authenticated.user.is_superuser:
        await _reject(database, authenticated)
    token = make_cookie_token(uuid4())
    lifetime = timedelta(hours=settings.ADMIN_SESSION_HOURS)
    start = sessions.complete_sign_in(
        database, authenticated.user, ("password",), client, token=token, lifetime=lifetime
    )
    signed_in = await authentication.refund_on_success(authenticated, start)
    return token, signed_in.account


async def _load_superuser(db: AsyncSession, cookie: str | None) -> Principal | None:
    """Return the active superuser whose live session the cookie identifies."""
    token = parse_cookie_token(cookie) if cookie else None
    if token is None:
        return None
    user = await load_by_token(db, token.session_id, token.hash)
    if user is None or not (user.session_is_live and user.is_active and user.is_superuser):
        return None
    return user


async def _reject(database: Database, authenticated: AuthenticatedUser) -> NoReturn:
    user_id = authenticated.user.id
    async with database.transaction() as db:
        audit.record(
            db,
            "session.started",
            outcome="failure",
            actor_id=user_id,
            subject_id=user_id,
            reason="not a superuser, in the admin",
        )
        after_commit(db, authenticated.attempt.refund)
        raise NotASuperuser


def _render_error(
    request: Request,
    templates: Jinja2Templates,
    error: PlinthError | ValidationError,
    email: object,
) -> Response:
    if isinstance(error, PlinthError):
        status, headers = describe(error)
        detail = error.detail
    else:
        status, headers = HTTPStatus.UNPROCESSABLE_ENTITY, dict[str, str]()
        detail = "Enter an e-mail and a password"
    headers.pop("WWW-Authenticate", None)  # a bearer token does not help here
    context = {"error": detail, "email": email if isinstance(email, str) else ""}
    return templates.TemplateResponse(
        request, "login.html", context, status_code=status, headers=headers
    )


def _set_cookies(
    request: Request, response: Response, token: CookieToken, account: devices.Account
) -> None:
    path = request.scope["root_path"]
    secure = not settings.is_development
    response.set_cookie(
        COOKIE,
        token.text,
        max_age=settings.ADMIN_SESSION_HOURS * 3600,
        path=path,
        secure=secure,
        httponly=True,
        samesite="strict",
    )
    response.set_cookie(
        devices.COOKIE,
        devices.remember(find_cookie(request.scope, devices.COOKIE), account),
        max_age=devices.SECONDS,
        path=path,
        secure=secure,
        httponly=True,
        samesite="strict",
    )
