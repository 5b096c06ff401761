"""The page `/account`, on which users manage how they sign in.

It is static: its script calls the API with cookies, so the page has no rules of its own
(docs/explanation/decisions/account-page.md). Imported only if `settings.has_account_page`.
"""

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from jinja2 import Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route

from plinth.accounts.services.credentials import FORGOT_PAGE, RESET_PAGE, VERIFY_PAGE
from plinth.accounts.services.mailbox.email_codes import PAGE as EMAIL_CODE_PAGE
from plinth.config import settings
from plinth.config.checks import ACCOUNT_PATH
from plinth.config.providers import GITHUB
from plinth.http.assets import Assets

INVITATION_PAGE = "accept-invitation"  # of plinth.organizations, which is in the layer above
LINKS = (VERIFY_PAGE, RESET_PAGE, FORGOT_PAGE, EMAIL_CODE_PAGE, INVITATION_PAGE)
FOLDER = Path(__file__).parent
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


def install(app: FastAPI) -> None:
    """Add the page and its files, without entries in the OpenAPI document.

    The links in mails lead to the page as well. Their tokens are in the fragment, which no server
    gets, and the script sends them when the user presses a button.
    """
    assets = Assets(FOLDER / "static")
    files = Environment(loader=FileSystemLoader(FOLDER), autoescape=True)
    template, context = files.get_template("account.html"), _make_context()
    root = f"{settings.ROOT_PATH}{ACCOUNT_PATH}"
    page = template.render(context, asset=lambda name: f"{root}/assets/{assets.versioned(name)}")

    async def show(_: Request) -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})

    paths = [ACCOUNT_PATH, *(f"{ACCOUNT_PATH}/{name}" for name in LINKS)]
    app.router.routes += [Route(path, show) for path in paths]
    app.router.routes.append(Mount(f"{ACCOUNT_PATH}/assets", assets))


def _make_context() -> dict[str, Any]:
    url = f"{settings.API_ORIGIN}{settings.ROOT_PATH}{ACCOUNT_PATH}"
    return {
        "project": settings.PROJECT_NAME,
        "api": f"{settings.ROOT_PATH}{settings.API_V1_PREFIX}",
        "url": url,
        "passkey_origins": settings.PASSKEY_ORIGINS,
        "email_codes": settings.EMAIL_CODES,
        "providers": _list_providers() if url in settings.OIDC_REDIRECT_URLS else {},
    }


def _list_providers() -> dict[str, str]:
    """Return the names of the providers for the API and for people."""
    return {
        name: "GitHub" if it.issuer == GITHUB else name.replace("-", " ").title()
        for name, it in settings.OIDC_PROVIDERS.items()
    }
