"""The API documentation, Swagger UI and Redoc, without files from other hosts."""

from functools import partial
from pathlib import Path

from fastapi import FastAPI
from jinja2 import Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route

from plinth.http.assets import Assets

ASSETS = "/docs/assets"
FOLDER = Path(__file__).with_name("static")
TEMPLATES = Path(__file__).with_name("templates")

POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "{}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGES = {
    "/docs": ("swagger.html", POLICY.format("style-src 'self'")),
    # Redoc creates <style> elements at run time, with a font in them.
    "/redoc": ("redoc.html", POLICY.format("style-src 'self' 'unsafe-inline'; font-src data:")),
}


def install(app: FastAPI) -> None:
    """Add the pages and their files, without entries in the OpenAPI document."""
    assets = Assets(FOLDER)
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)

    async def show(request: Request, template: str, policy: str) -> HTMLResponse:
        root = request.scope.get("root_path", "")
        page = templates.get_template(template).render(
            title=app.title,
            document=f"{root}{app.openapi_url}",
            asset=lambda name: f"{root}{ASSETS}/{assets.versioned(name)}",
        )
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    app.router.routes += [
        *(
            Route(path, partial(show, template=template, policy=policy))
            for path, (template, policy) in PAGES.items()
        ),
        Mount(ASSETS, assets),
    ]
