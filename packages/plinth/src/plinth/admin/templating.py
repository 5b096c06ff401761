"""starlette-admin's templates, made to fit a Content-Security-Policy without `unsafe-inline`.

Its scripts and styles within pages get the answer's nonce; its two handlers in attributes become
marks that `static/admin.js` acts on. A test looks for what this does not know.
"""

from importlib.resources import files
from pathlib import Path

from jinja2 import BaseLoader, FunctionLoader, PrefixLoader
from jinja2.loaders import split_template_path

THEIRS = Path(str(files("starlette_admin"))) / "templates"
NONCE = ' nonce="{{ request.state.nonce }}"'
REPLACED = {
    "<script": f"<script{NONCE}",
    "<style": f"<style{NONCE}",
    'onclick="applyColumnVisibility()"': 'data-plinth="apply-columns"',
    'onchange="window.location = this.value"': 'data-plinth="go-to-value"',
}


def _load(name: str) -> str | None:
    file = THEIRS.joinpath(*split_template_path(name))
    if not file.is_file():
        return None
    source = file.read_text(encoding="utf-8")
    for theirs, ours in REPLACED.items():
        source = source.replace(theirs, ours)
    return source


# By their own names, and as "@theirs/..." for a template of ours that extends its namesake.
LOADERS: list[BaseLoader] = [
    PrefixLoader({"@theirs": FunctionLoader(_load)}),
    FunctionLoader(_load),
]
