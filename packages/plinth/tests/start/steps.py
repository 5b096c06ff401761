"""Read the steps of a how-to page: the files that it creates, its edits, and its commands."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`((?:app|tests|alembic)/[\w/.*]+|pyproject\.toml)`")


@dataclass(frozen=True, slots=True)
class Step:
    """
    Attributes:
        kind: `sh` runs in the project, `python` is a whole new file, `diff` edits a file.
        file: the last path in the paragraph before the block; "" for a command.
    """

    kind: str
    file: str
    text: str


def read_steps(page: Path) -> list[Step]:
    return list(_read(page.read_text()))


def _read(source: str) -> Iterator[Step]:
    for block in BLOCK.finditer(source):
        indent, kind, text = block.groups()
        if kind not in {"sh", "python", "diff"}:
            continue
        body = re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)
        paragraph = source[: block.start()].rstrip().rpartition("\n\n")[2]
        files = FILE.findall(paragraph)
        if kind != "sh" and not files:
            raise ValueError(f"name the file in the paragraph before this block:\n{body}")
        yield Step(kind, "" if kind == "sh" else files[-1], body)


def apply(step: Step, project: Path) -> None:
    if step.kind == "python":
        file = project / step.file
        assert not file.exists(), f"{step.file} exists: show the change as a diff"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(step.text)
        return
    (file,) = project.glob(step.file)
    text = file.read_text()
    for hunk in re.split(r"^@@.*\n", step.text, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        old = "".join(it[1:] or "\n" for it in lines if not it.startswith("+"))
        new = "".join(it[1:] or "\n" for it in lines if not it.startswith("-"))
        assert text.count(old) == 1, f"{step.file} has this {text.count(old)} times:\n{old}"
        text = text.replace(old, new)
    file.write_text(text)
