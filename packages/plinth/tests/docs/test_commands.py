"""Each shell block of the documentation is run by a test, or commands.toml has the reason.

The commands that the pages name exist.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from plinth.cli.commands import plinth
from tests.support.environment import ROOT, TESTS
from tests.support.pages import Block, find_pages, read_blocks

INVENTORY = Path(__file__).with_name("commands.toml")
SHELLS = {"sh", "bash", "console", "shell"}
KINDS = {"run", "same", "not_run"}
CODE = re.compile(r"```\w+\n(.*?)```|`([^`\n]+)`", re.DOTALL)
COMMAND = re.compile(
    r"(?:^ *|bin/|[|(&] |sudo |api )plinth ([a-z][a-z-]+)(?: ([a-z][a-z-]+))?", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Entry:
    page: str
    kind: str
    value: str
    begins: tuple[str, ...]

    def fits(self, block: Block) -> int:
        """Return the length of the beginning that fits, or -1."""
        return max((len(it) for it in self.begins if block.text.startswith(it)), default=-1)


def read_inventory() -> list[Entry]:
    entries = []
    for it in tomllib.loads(INVENTORY.read_text())["block"]:
        page, begins = it.pop("page"), tuple(it.pop("begins", ()))
        ((kind, value),) = it.items()
        assert kind in KINDS
        assert begins or kind == "run", f"{page}: without `begins` it would accept any block"
        entries.append(Entry(page, kind, value, begins or ("",)))
    return entries


def find_entry(page: str, block: Block) -> Entry | None:
    """Return the entry with the longest beginning that fits."""
    fitting = [it for it in read_inventory() if it.page == page and it.fits(block) >= 0]
    return max(fitting, key=lambda it: it.fits(block), default=None)


BLOCKS = [
    (str(page.relative_to(ROOT)), block)
    for page in find_pages()
    for block in read_blocks(page)
    if block.kind in SHELLS
]


CONNECTION = "plinth migrations"  # an application_name in PostgreSQL
FOR_TEAMS = [
    page
    for page in find_pages()
    if page.is_relative_to(ROOT / "docs")
    and page.parent.name in {"how-to", "tutorial"}
    and page.name not in {"maintain.md", "upgrade-from-1.md"}
]


@pytest.mark.parametrize(
    ("page", "block"), BLOCKS, ids=lambda it: str(it.line) if isinstance(it, Block) else it
)
def test_block_is_run_by_a_test_or_has_a_reason(page: str, block: Block) -> None:
    assert find_entry(page, block), (
        f"{page}:{block.line}: run this block in a test and name the test in "
        f"{INVENTORY.relative_to(ROOT)}, or give the reason there"
    )


@pytest.mark.parametrize("entry", read_inventory(), ids=lambda it: f"{it.page}-{it.begins[0]}")
def test_inventory_entry_matches_a_block_and_names_a_test(entry: Entry) -> None:
    used = [block for page, block in BLOCKS if find_entry(page, block) == entry]
    unused = [it for it in entry.begins if not any(block.text.startswith(it) for block in used)]
    assert unused == [], "no block begins so: remove it"
    if entry.kind != "not_run":
        test = TESTS / entry.value
        assert test.is_file()
        assert entry.kind != "run" or entry.page in test.read_text(), "it does not read the page"


@pytest.mark.parametrize("page", find_pages(), ids=lambda it: str(it.relative_to(ROOT)))
def test_the_commands_of_plinth_exist(page: Path) -> None:
    commands = typer.main.get_command(plinth).commands  # type: ignore[attr-defined]
    unknown = []
    for block, inline in CODE.findall(page.read_text().replace(CONNECTION, "")):
        for word, next_word in COMMAND.findall(block or inline):
            group = getattr(commands.get(word), "commands", None)
            if word not in commands or (group and next_word and next_word not in group):
                unknown.append(f"plinth {word} {next_word}".strip())
    assert unknown == []


@pytest.mark.parametrize("page", FOR_TEAMS, ids=lambda it: it.name)
def test_a_page_for_teams_needs_no_checkout(page: Path) -> None:
    """A project that `plinth start` made has no `packages/`."""
    assert "packages/plinth" not in page.read_text(), "move it to docs/how-to/maintain.md"
