"""Each link of the documentation leads to a file and a heading that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.environment import ROOT
from tests.support.pages import find_pages

FENCED = re.compile(r"^(\s*)(```|~~~).*?^\1\2\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!\\)\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
PATH = re.compile(r"`((?:app|http|db|accounts|resources)/[\w/.-]+)`")
LIBRARY = ROOT / "packages/plinth/src/plinth"


def read_prose(page: Path) -> str:
    return FENCED.sub("", page.read_text())


def read_links(page: Path) -> Iterator[str]:
    """Yield the links that lead to a file of the repository, or to a heading of the page."""
    for link in LINK.findall(re.sub(r"`[^`\n]*`", "", read_prose(page))):
        if not re.match(r"[a-z]+:", link):
            yield link


def find_anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub and MyST-Parser derive them."""
    anchors: set[str] = set()
    for heading in HEADING.findall(read_prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)|`", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
        count = sum(
            it == slug or re.fullmatch(rf"{re.escape(slug)}-\d+", it) is not None for it in anchors
        )
        anchors.add(f"{slug}-{count}" if count else slug)
    return anchors


@pytest.mark.parametrize("page", find_pages(), ids=lambda it: str(it.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    broken = []
    for link in read_links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in find_anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_architecture_names_files_that_exist() -> None:
    named = PATH.findall((ROOT / "docs/explanation/architecture.md").read_text())
    assert len(named) > 10
    missing = [it for it in named if not ((ROOT / it).exists() or (LIBRARY / it).exists())]
    assert missing == []
