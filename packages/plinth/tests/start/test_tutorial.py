"""Run the commands and edits of docs/tutorial/shop.md in order, in a started project."""

from pathlib import Path

from tests.support.environment import ROOT
from tests.support.pages import Block, Shell, apply_diff, read_blocks, settle

PAGE = ROOT / "docs/tutorial/shop.md"
NOT_RUN = {"docker compose": "needs a Docker daemon; `make prove-image` runs the image without one"}


def test_commands_of_the_tutorial_work(shell: Shell, empty_folder: Path) -> None:
    project, printed, edited = empty_folder / "shop", "", 0
    for block in read_blocks(PAGE):
        if block.kind == "sh":
            if not any(it in block.text for it in NOT_RUN):
                printed = shell.run(block.text)
        elif block.kind == "text":
            assert settle(printed) == settle(block.text), f"line {block.line}"
        else:
            edit(project, block)
            edited += 1
    assert edited == 8


def edit(project: Path, block: Block) -> None:
    assert block.file, f"line {block.line}: the sentence before it names no file"
    file = project / block.file
    if block.kind == "diff":
        file.write_text(apply_diff(file.read_text(), block.text))
    else:
        assert not file.exists()
        file.parent.mkdir(exist_ok=True)
        file.write_text(block.text)
