"""Authentication of the admin: superusers only, by a session that a cookie identifies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates
from starlette_admin.auth import AdminUser
from starlette_admin.auth.base import BaseAuthProvider
from starlette_admin.helpers import index_url, safe_redirect_url

from plinth.accounts.methods import METHODS
from plinth.accounts.queries.factor import TWO_FACTORS
from plinth.accounts.queries.passkey import PASSKEY
from plinth.accounts.queries.principal import Principal, load_by_token
from plinth.accounts.schemas.auth import Credentials
from plinth.accounts.schemas.factor import SecondFactor
from plinth.accounts.services import sessions
from plinth.accounts.services.authentication import MfaRequired
from plinth.accounts.services.challenges import InvalidChallenge
from plinth.accounts.services.passkeys.ceremony import InvalidPasskey
from plinth.accounts.services.sessions import SignedIn
from plinth.admin import sign_in
from plinth.admin.choice import read_choice
from plinth.config import settings
from plinth.db.database import Database, release
from plinth.db.tenancy import set_tenant
from plinth.errors import PlinthError
from plinth.http.problems import describe
from plinth.request.client import Client
from plinth.request.context import current_request
from plinth.request.cookies import find_cookie
from plinth.security import devices
from plinth.security.cookie_tokens import parse_cookie_token

COOKIE = "plinth_admin"
NO_FACTOR = (
    "MFA_REQUIRED requires a second factor, and this account has none: add one in the application, "
    "by POST /auth/login and POST /auth/mfa/totp"
)


@dataclass
class Superuser(AdminUser):
    principal: Principal = field(kw_only=True)


def actor(request: Request) -> Principal:
    """Return the signed-in superuser."""
    user: Superuser = request.state.admin_user
    return user.principal


class AdminAuth(BaseAuthProvider):
    def __init__(self) -> None:
        super().__init__(allow_routes=["passkey-options"])

    async def authenticate(self, request: Request) -> AdminUser | None:
        db: AsyncSession = request.state.session
        user = await _load_superuser(db, find_cookie(request.scope, COOKIE))
        await release(db)  # anyone can send a cookie and then a slow body
        if user is None:
            return None
        if info := current_request():
            info.user_id, info.session_id = user.id, user.session_id
        choice = request.state.organization = read_choice(request, user.session_id)
        set_tenant(choice.id if choice else None)
        return Superuser(username=user.username, principal=user)

    def get_routes(self, templates: Jinja2Templates) -> list[Route]:
        async def login(request: Request) -> Response:
            return await self._login(request, templates)

        return [
            Route(self.login_path, login, methods=["GET", "POST"], name="login"),
            Route("/login/passkey", _begin_passkey, methods=["POST"], name="passkey-options"),
            Route(self.logout_path, self._logout, methods=["POST"], name="logout"),
        ]

    async def _login(self, request: Request, templates: Jinja2Templates) -> Response:
        index = index_url(request)
        destination = safe_redirect_url(request.query_params.get("next") or index, request, index)
        if not request.state.is_anonymous:
            return RedirectResponse(destination, HTTPStatus.SEE_OTHER)
        if request.method != "POST":
            return _render(request, templates)
        form = dict(await request.form())
        try:
            signed_in = await self._sign_in(request, form)
        except (PlinthError, ValidationError) as error:
            return _render_error(request, templates, error, form)
        response = RedirectResponse(destination, HTTPStatus.SEE_OTHER)
        _set_cookies(request, response, signed_in)
        return response

    async def _sign_in(self, request: Request, form: Mapping[str, object]) -> SignedIn:
        client, device = _find_client(), find_cookie(request.scope, devices.COOKIE)
        database: Database = request.state.resources.database
        await release(request.state.session)  # hold no connection while the password is hashed
        if form.get("credential"):
            used = sign_in.PasskeyForm.model_validate(form)
            return await sign_in.by_passkey(database, used, client, device)
        if "challenge" in form:
            return await sign_in.by_code(database, SecondFactor(**form), client, device)
        sent = Credentials.model_validate({name: form.get(name) for name in ("email", "password")})
        return await sign_in.by_password(database, sent.email, sent.password, client, device)

    async def _logout(self, request: Request) -> Response:
        user = actor(request)
        async with request.state.resources.database.transaction() as db:
            await sessions.end(db, user.id, user.session_id, reason="signed out")
        response = RedirectResponse(request.url_for("admin:login"), HTTPStatus.SEE_OTHER)
        response.delete_cookie(COOKIE, path=request.scope["root_path"])
        return response


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


async def _begin_passkey(request: Request) -> Response:
    """Return the options for `navigator.credentials.get()`, as JSON."""
    challenge = _read_text(dict(await request.form()), "challenge")
    database: Database = request.state.resources.database
    await release(request.state.session)
    try:
        options = await sign_in.begin_passkey(database, challenge, _find_client())
    except PlinthError as error:
        status, headers = describe(error)
        return JSONResponse({"detail": error.detail}, status, headers)
    return JSONResponse(options.model_dump(by_alias=True))


def _find_client() -> Client:
    info = current_request()
    return info.client if info else Client(None, None)


def _render(
    request: Request,
    templates: Jinja2Templates,
    context: Mapping[str, object] | None = None,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    origins = {"passkey_origins": settings.PASSKEY_ORIGINS}
    return templates.TemplateResponse(
        request, "login.html", {**origins, **(context or {})}, status_code=status, headers=headers
    )


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
        detail = _explain_validation(form)
    headers.pop("WWW-Authenticate", None)  # a bearer token does not help here
    context: dict[str, object] = {"error": detail, "email": _read_text(form, "email")}
    if isinstance(error, MfaRequired):
        context["error"] = "" if error.methods else NO_FACTOR
        context |= _offer(error.challenge, error.methods) if error.methods else {}
    elif not isinstance(error, InvalidChallenge):
        methods = _read_text(form, "methods").split() or list(METHODS)
        context |= _offer(_read_text(form, "challenge"), methods)
    return _render(request, templates, context, status, headers)


def _explain_validation(form: Mapping[str, object]) -> str:
    if form.get("credential"):
        return InvalidPasskey.detail
    return "Enter a code" if "challenge" in form else "Enter an e-mail and a password"


def _offer(challenge: str, methods: Sequence[str]) -> dict[str, object]:
    """Return what the form of the second factor shows.

    Args:
        methods: of the account. The form sends them back, only for the next form.
    """
    return {
        "challenge": challenge,
        "methods": " ".join(methods),
        "codes": [it for it in METHODS if it in methods],
        "has_passkey": PASSKEY in methods,
    }


def _read_text(form: Mapping[str, object], name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""


def _set_cookies(request: Request, response: Response, signed_in: SignedIn) -> None:
    path = request.scope["root_path"]
    secure = not settings.is_development
    response.set_cookie(
        COOKIE,
        signed_in.token.text,
        max_age=settings.ADMIN_SESSION_HOURS * 3600,
        path=path,
        secure=secure,
        httponly=True,
        samesite="strict",
    )
    response.set_cookie(
        devices.COOKIE,
        devices.remember(find_cookie(request.scope, devices.COOKIE), signed_in.account),
        max_age=devices.SECONDS,
        path=path,
        secure=secure,
        httponly=True,
        samesite="strict",
    )
