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

from plinth.config import settings
from plinth.config.providers import GITHUB
from plinth.http.assets import Assets

PATH = "/account"
FOLDER = Path(__file__).parent
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


def install(app: FastAPI) -> None:
    """Add the page and its files, without entries in the OpenAPI document."""
    assets = Assets(FOLDER / "static")
    files = Environment(loader=FileSystemLoader(FOLDER), autoescape=True)
    template, context = files.get_template("account.html"), _make_context()
    root = f"{settings.ROOT_PATH}{PATH}"
    page = template.render(context, asset=lambda name: f"{root}/assets/{assets.versioned(name)}")

    async def show(_: Request) -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})

    app.router.routes += [Route(PATH, show), Mount(f"{PATH}/assets", assets)]


def _make_context() -> dict[str, Any]:
    url = f"{settings.API_ORIGIN}{settings.ROOT_PATH}{PATH}"
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
