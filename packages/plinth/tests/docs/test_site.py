"""The documentation builds as a site that loads nothing from another host."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from plinth.cli.commands import plinth
from plinth.config import Settings
from tests.support.environment import ROOT, bare_environment
from tests.support.pages import find_pages

LOADED = re.compile(r"<(?:script|img|iframe)\b[^>]*\ssrc=\"([^\"]+)|<link\b[^>]*\shref=\"([^\"]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going",
         "-b", "html", "docs", folder],
        cwd=ROOT,
        env=bare_environment(),
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_each_page_is_built(site: Path) -> None:
    pages = [
        it.relative_to(ROOT / "docs") for it in find_pages() if it.is_relative_to(ROOT / "docs")
    ]
    assert [it for it in pages if not (site / it).with_suffix(".html").exists()] == []


def test_site_loads_nothing_from_another_host(site: Path) -> None:
    loaded = {
        url
        for page in site.rglob("*.html")
        for found in LOADED.findall(page.read_text())
        for url in found
        if url
    }
    assert loaded
    assert [url for url in loaded if re.match(r"(https?:)?//", url)] == []
    styles = [it.read_text() for it in site.rglob("*.css")]
    assert [it for it in styles if re.search(r"url\(['\"]?(https?:)?//", it)] == []


def test_the_reference_has_each_setting_and_command(site: Path) -> None:
    settings = (site / "reference/settings.html").read_text()
    fields = {name for name in Settings.model_fields if name.isupper()}
    assert {name for name in fields if f'id="confval-{name}"' not in settings} == set()
    commands = (site / "reference/commands.html").read_text()
    named = {
        it.name or it.callback.__name__
        for it in plinth.registered_commands
        if it.callback and not it.hidden
    }
    assert {it for it in named if f"plinth {it.replace('_', '-')}" not in commands} == set()


@pytest.mark.parametrize("name", ["accounts", "cache", "config", "db", "http", "resources"])
def test_the_reference_has_each_public_name(site: Path, name: str) -> None:
    page = (site / f"reference/api/{name}.html").read_text()
    public = import_module(f"plinth.{name}").__all__
    assert [it for it in public if f">{it}<" not in page] == []
