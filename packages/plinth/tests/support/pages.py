"""Read the command blocks of a documentation page, and run them in one shell."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.environment import ROOT

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`([\w./-]+\.\w+)`[^`]*:\s*\Z")
VOLATILE = {
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z": "<time>",
    r"\d{4}-\d\d-\d\d_\d{4}_": "<time>_",
    r"cursor=[\w-]+": "cursor=<cursor>",
    r'"request_id": ?"[0-9a-f]{32}"': "<request id>",
    r"passed in \d+\.\d+s": "passed in <seconds>",
}
MARK = "\x1f"
STEP, ERRORS = "step.sh", "errors"


@dataclass(frozen=True, slots=True)
class Block:
    """
    Attributes:
        kind: "sh", "text", "python", "diff", ...
        line: where it begins in the page.
        file: the file that the sentence before it names.
    """

    kind: str
    text: str
    line: int
    file: str | None


def read_blocks(page: Path) -> list[Block]:
    text = page.read_text()
    blocks = []
    for match in BLOCK.finditer(text):
        named = FILE.search(text, 0, match.start())
        line = text.count("\n", 0, match.start()) + 1
        blocks.append(Block(match[1], match[2], line, named[1] if named else None))
    return blocks


def apply_diff(text: str, diff: str) -> str:
    """Replace what each hunk shows. A line `@@` ends a hunk; line numbers are not used."""
    for hunk in re.split(r"^@@.*\n", diff, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        new = "".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(old) == 1, f"found {text.count(old)} times:\n{old}"
        text = text.replace(old, new)
    return text


def settle(text: str) -> str:
    """Replace what differs from run to run."""
    for pattern, instead in VOLATILE.items():
        text = re.sub(pattern, instead, text)
    return text.strip()


class Shell:
    """A bash that keeps its variables and folder from block to block, and ends at an error.

    Args:
        scratch: a folder for its own files.
        replacements: what to replace in the commands, such as a port.
    """

    def __init__(
        self,
        process: subprocess.Popen[str],
        scratch: Path,
        replacements: Mapping[str, str],
    ) -> None:
        self._process = process
        self._step, self._errors = scratch / STEP, scratch / ERRORS
        self._replacements = replacements
        self.run("set -euo pipefail")

    def run(self, commands: str) -> str:
        """Return the standard output of the commands."""
        assert self._process.stdin
        for text, instead in self._replacements.items():
            commands = commands.replace(text, instead)
        self._step.write_text(commands)
        self._process.stdin.write(f"source {self._step} </dev/null\necho '{MARK}'\n")
        self._process.stdin.flush()
        return self._read_output(commands)

    def _read_output(self, commands: str) -> str:
        assert self._process.stdout
        printed = ""
        for line in self._process.stdout:
            printed += line
            if line.endswith(f"{MARK}\n"):
                return printed.removesuffix(f"{MARK}\n")
        errors = self._errors.read_text()
        raise AssertionError(f"{commands}\nfailed:\n{printed}\n{errors}"[-20_000:])


@contextmanager
def open_shell(
    folder: Path, environment: Mapping[str, str], scratch: Path, replacements: Mapping[str, str]
) -> Iterator[Shell]:
    with (
        (scratch / ERRORS).open("w") as errors,
        subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        yield Shell(process, scratch, replacements)


def find_pages() -> list[Path]:
    """Return the tracked pages of documentation: those of `docs/`, and each README beside code."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    pages = [ROOT / name for name in listed.stdout.splitlines() if "/tests/" not in name]
    return [page for page in pages if page.is_file()]
