"""Copies of the checkout, each with a process that runs tests in it."""

import compileall
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode

from plinth.testing.databases import TestServices
from tests.mutation.rules import Rule
from tests.support.environment import ROOT, bare_environment, python_path

# Without schemathesis, whose plugin takes a second to load.
OPTIONS = ("-qx", "-pno:cacheprovider", "-pno:schemathesis")
FAILURE = re.compile(r"^(?:FAILED|ERROR) (?:packages/plinth/)?tests/.*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Run:
    """
    Attributes:
        status: pytest's exit code; None after a timeout.
    """

    status: int | None
    output: str

    @property
    def failure(self) -> str:
        """Return the first failed test with its reason."""
        found = FAILURE.search(self.output)
        return found[0] if found else ""


@dataclass(frozen=True, slots=True)
class Copy:
    folder: Path
    worker: subprocess.Popen[str]

    def run(self, *arguments: str, seconds: float) -> Run:
        """Run pytest in this copy."""
        assert self.worker.stdin
        assert self.worker.stdout
        request = {"arguments": [*OPTIONS, *arguments], "seconds": seconds}
        print(json.dumps(request), file=self.worker.stdin, flush=True)
        return Run(**json.loads(self.worker.stdout.readline()))

    @contextmanager
    def without(self, rule: Rule) -> Iterator[None]:
        path = self.folder / rule.file
        whole = path.read_text()
        try:
            path.write_text(rule.remove(whole))
            yield
        finally:
            path.write_text(whole)


@contextmanager
def make_copies(number: int, services: TestServices) -> Iterator[Sequence[Copy]]:
    """Yield copies of the checkout, so that the checkout itself is never edited."""
    with tempfile.TemporaryDirectory(prefix="plinth-mutants-") as root, ExitStack() as stack:
        first = Path(root) / "0"
        _copy_checkout(first)
        folders = [first, *(Path(root) / str(place) for place in range(1, number))]
        for folder in folders[1:]:
            shutil.copytree(first, folder)
        yield [Copy(it, stack.enter_context(_working(it, services))) for it in folders]


def _copy_checkout(folder: Path) -> None:
    listed = ["git", "ls-files", "-co", "--exclude-standard"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in done.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    # Check by hash, not by time: two edits within a second have the same time.
    mode = PycInvalidationMode.CHECKED_HASH
    for part in ("app", "packages", "alembic", "tests"):
        compileall.compile_dir(folder / part, quiet=1, invalidation_mode=mode)


@contextmanager
def _working(folder: Path, services: TestServices) -> Iterator[subprocess.Popen[str]]:
    environment = bare_environment() | {
        "PYTHONPATH": python_path(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "200",  # pytest truncates the reason of a failure to the width
        "TEST_DATABASE_URL": services.server_url,
        "TEST_REDIS_URL": services.redis_url,
        "DATA_DIR": str(folder / ".data"),
    }
    with subprocess.Popen(
        [sys.executable, "-P", str(folder / "packages/plinth/tests/mutation/worker.py")],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as worker:
        yield worker
