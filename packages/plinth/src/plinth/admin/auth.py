"""Authentication of the admin: superusers only, by a session that a cookie identifies."""

from collections.abc import Mapping, Sequence
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

from plinth.accounts.methods import METHODS
from plinth.accounts.queries.factor import TWO_FACTORS
from plinth.accounts.queries.principal import Principal, load_by_token
from plinth.accounts.schemas.auth import Credentials
from plinth.accounts.schemas.factor import SecondFactor
from plinth.accounts.services import audit, authentication, second_factor, sessions
from plinth.accounts.services.authentication import AuthenticatedUser, MfaRequired
from plinth.accounts.services.challenges import InvalidChallenge
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
NO_FACTOR = (
    "MFA_REQUIRED requires a second factor, and this account has none: add one in the application, "
    "by POST /auth/login and POST /auth/mfa/totp"
)

ONLY_PASSKEYS = (
    "This page accepts no passkeys, and this account has no other second factor: add an "
    "authenticator app or make recovery codes in the application"
)


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
        form = dict(await request.form())
        try:
            token, account = await self._sign_in(request, form)
        except (PlinthError, ValidationError) as error:
            return _render_error(request, templates, error, form)
        response = RedirectResponse(destination, HTTPStatus.SEE_OTHER)
        _set_cookies(request, response, token, account)
        return response

    async def _sign_in(
        self, request: Request, form: Mapping[str, object]
    ) -> tuple[CookieToken, devices.Account]:
        info = current_request()
        client = info.client if info else Client(None, None)
        device = find_cookie(request.scope, devices.COOKIE)
        database: Database = request.state.resources.database
        await release(request.state.session)  # hold no connection while the password is hashed
        if "challenge" in form:
            return await complete_sign_in(database, SecondFactor(**form), client, device)
        sent = Credentials.model_validate({name: form.get(name) for name in ("email", "password")})
        return await sign_in(database, sent.email, sent.password, client, device)

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


async def complete_sign_in(
    database: Database, sent: SecondFactor, client: Client, device: str | None = None
) -> tuple[CookieToken, devices.Account]:
    """Complete the sign-in of a superuser with a second factor.

    Raises:
        PlinthError: see `second_factor.complete`.
    """
    token = make_cookie_token(uuid4())
    signed_in = await second_factor.complete(
        database,
        second_factor.Proof(sent.challenge, sent.method, sent.code),
        client,
        device,
        token=token,
        lifetime=timedelta(hours=settings.ADMIN_SESSION_HOURS),
        superusers_only=True,
    )
    return token, signed_in.account


async def _load_superuser(db: AsyncSession, cookie: str | None) -> Principal | None:
    """Return the active superuser whose live session the cookie identifies."""
    token = parse_cookie_token(cookie) if cookie else None
    if token is None:
        return None
    user = await load_by_token(db, token.session_id, token.hash)
    if user is None or not (user.session_is_live and user.is_active and user.is_superuser):
        return None
    if user.aal < TWO_FACTORS and settings.MFA_REQUIRED != "none":
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
    form: Mapping[str, object],
) -> Response:
    if isinstance(error, PlinthError):
        status, headers = describe(error)
        detail = error.detail
    else:
        status, headers = HTTPStatus.UNPROCESSABLE_ENTITY, dict[str, str]()
        detail = "Enter a code" if "challenge" in form else "Enter an e-mail and a password"
    headers.pop("WWW-Authenticate", None)  # a bearer token does not help here
    context = {"error": detail, "email": _read_text(form, "email")}
    if isinstance(error, MfaRequired):
        context |= {"challenge": error.challenge, "error": _explain(error.methods)}
    elif not isinstance(error, InvalidChallenge):
        context["challenge"] = _read_text(form, "challenge")
    return templates.TemplateResponse(
        request, "login.html", context, status_code=status, headers=headers
    )


def _explain(methods: Sequence[str]) -> str:
    """Return why the form of the code would be of no use, or nothing."""
    if not methods:
        return NO_FACTOR
    return "" if METHODS.keys() & set(methods) else ONLY_PASSKEYS


def _read_text(form: Mapping[str, object], name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""


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
