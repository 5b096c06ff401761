"""Each shell block of the documentation is run by a test, or commands.toml has the reason."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.environment import ROOT, TESTS
from tests.support.pages import Block, find_pages, read_blocks

INVENTORY = Path(__file__).with_name("commands.toml")
SHELLS = {"sh", "bash", "console", "shell"}
KINDS = {"run", "same", "not_run"}


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


@pytest.mark.parametrize(
    ("page", "block"), BLOCKS, ids=lambda it: str(it.line) if isinstance(it, Block) else it
)
def test_the_block_is_run_or_has_a_reason(page: str, block: Block) -> None:
    assert find_entry(page, block), (
        f"{page}:{block.line}: run this block in a test and name the test in "
        f"{INVENTORY.relative_to(ROOT)}, or give the reason there"
    )


@pytest.mark.parametrize("entry", read_inventory(), ids=lambda it: f"{it.page}-{it.begins[0]}")
def test_the_entry_is_used_and_names_a_test(entry: Entry) -> None:
    used = [block for page, block in BLOCKS if find_entry(page, block) == entry]
    unused = [it for it in entry.begins if not any(block.text.startswith(it) for block in used)]
    assert unused == [], "no block begins so: remove it"
    if entry.kind != "not_run":
        test = TESTS / entry.value
        assert test.is_file()
        assert entry.kind != "run" or entry.page in test.read_text(), "it does not read the page"
