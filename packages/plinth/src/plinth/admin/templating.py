"""Adapt starlette-admin's templates to a Content-Security-Policy without `unsafe-inline`.

Inline scripts and styles get the nonce of the response. Inline event handlers become data
attributes, which `static/admin.js` handles. A test fails if starlette-admin adds others.
"""

from importlib.resources import files
from pathlib import Path

from jinja2 import BaseLoader, FunctionLoader, PrefixLoader
from jinja2.loaders import split_template_path

UPSTREAM = Path(str(files("starlette_admin"))) / "templates"
NONCE = ' nonce="{{ request.state.nonce }}"'
REPLACEMENTS = {
    "<script": f"<script{NONCE}",
    "<style": f"<style{NONCE}",
    'onclick="applyColumnVisibility()"': 'data-plinth="apply-columns"',
    'onchange="window.location = this.value"': 'data-plinth="go-to-value"',
}


def _load(name: str) -> str | None:
    file = UPSTREAM.joinpath(*split_template_path(name))
    if not file.is_file():
        return None
    source = file.read_text(encoding="utf-8")
    for old, new in REPLACEMENTS.items():
        source = source.replace(old, new)
    return source


# Also as "@theirs/NAME", so that our template NAME can extend the one of starlette-admin.
LOADERS: list[BaseLoader] = [
    PrefixLoader({"@theirs": FunctionLoader(_load)}),
    FunctionLoader(_load),
]
