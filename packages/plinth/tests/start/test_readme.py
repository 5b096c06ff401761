"""Run the commands of README.md in a started project."""

from tests.support.environment import ROOT
from tests.support.pages import Shell, read_blocks

PAGE = ROOT / "README.md"
HERE = {"make wheel\n": "", "cd ~/src && ": ""}  # the fixture built the wheel


def test_commands_of_the_readme_work(shell: Shell) -> None:
    dev_and_test, start, new = (it.text for it in read_blocks(PAGE) if it.kind == "sh")
    for text, instead in HERE.items():
        assert start.count(text) == 1
        start = start.replace(text, instead)
    shell.run(start)
    assert "written" in shell.run(new)
    dev, test = dev_and_test.splitlines()
    assert dev.startswith("make dev ")  # which `start` ran
    assert "passed" in shell.run(test)
