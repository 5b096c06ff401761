"""docs/explanation/asvs.md is complete, and its tests and pages exist."""

import ast
import re
from dataclasses import dataclass
from functools import cache

import pytest

from tests.support.environment import ROOT, find_sources

PAGE = ROOT / "docs/explanation/asvs.md"
NODE = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
LINK = re.compile(r"\]\(([\w./-]+\.md)\)")
REASONS = ("**n/a**: ", "**not met**: ", "**documented**: ")

# How many requirements of levels 1 and 2 each section of version 5.0.0 begins with; the last
# section's are of level 3, or follow them.
SECTIONS = {
    "V6.1": 3,
    "V6.2": 12,
    "V6.3": 4,
    "V6.4": 4,
    "V6.5": 5,
    "V6.6": 3,
    "V6.8": 4,
    "V7.1": 3,
    "V7.2": 4,
    "V7.3": 2,
    "V7.4": 5,
    "V7.5": 2,
    "V7.6": 2,
    "V9.1": 3,
    "V9.2": 4,
}


@dataclass(frozen=True, slots=True)
class Row:
    id: str
    level: str
    asked: str
    met: str
    tests: str


def read_rows() -> list[Row]:
    lines = [line for line in PAGE.read_text().splitlines() if re.match(r"\| V\d", line)]
    return [Row(*(cell.strip() for cell in line.strip("|").split("|"))) for line in lines]


@cache
def functions_of(file: str) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    trees = [ast.parse(path.read_text()) for path in find_sources(file)]
    return {node.name for tree in trees for node in tree.body if isinstance(node, kinds)}


def test_each_requirement_has_a_row() -> None:
    wanted = [f"{section}.{n}" for section, count in SECTIONS.items() for n in range(1, count + 1)]
    found = [row.id for row in read_rows()]
    assert found[: len(wanted)] == wanted
    assert len(found) == len(set(found))


@pytest.mark.parametrize("row", read_rows(), ids=lambda row: row.id)
def test_a_row_has_a_test_or_a_reason(row: Row) -> None:
    assert row.level in {"1", "2"}
    assert row.asked
    assert NODE.search(row.tests) or row.met.startswith(REASONS), (
        "name a test, or begin with the reason why no test exists"
    )
    pages = LINK.findall(row.met)
    assert pages or not row.met.startswith("**documented**")
    missing = [page for page in pages if not (PAGE.parent / page).exists()]
    assert missing == [], "the page that it points to is gone"


def test_each_named_test_exists() -> None:
    named = NODE.findall(PAGE.read_text())
    assert len(named) > 50
    gone = [f"{file}::{name}" for file, name in named if name not in functions_of(file)]
    assert gone == [], "a requirement has lost its proof: name the test that holds it now"
