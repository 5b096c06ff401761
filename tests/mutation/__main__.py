"""Remove each security rule from a copy of the code, and see that a test fails: `make mutants`.

A rule that can be removed without a failing test is not protected: the run ends with 1.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

from tests.mutation.rules import Rule, load_rules
from tests.support.databases import TestServices, test_services
from tests.support.environment import ROOT, bare_environment

TEST_SECONDS = 300
FAILED = 1  # pytest's exit code for failing tests; others mean that it did not run them


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    Attributes:
        fault: why the rule counts as unprotected; None where a test failed as it should.
        test: the test that noticed.
    """

    fault: str | None
    test: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    rules = [rule for rule in load_rules() if options.only in rule.name]
    began = time.monotonic()
    copies: Queue[Path] = Queue()
    with test_services() as services, _copies(options.jobs) as folders:
        if (fault := _check_unchanged(folders[0], services, rules)) is not None:
            print(fault)
            return 1
        for folder in folders:
            copies.put(folder)

        def check(rule: Rule) -> Outcome:
            folder = copies.get()
            try:
                return _check_rule(folder, services, rule)
            finally:
                copies.put(folder)

        with ThreadPoolExecutor(options.jobs) as threads:
            survivors = 0
            for rule, outcome in zip(rules, threads.map(check, rules), strict=True):
                survivors += outcome.fault is not None
                print(f"{outcome.fault or 'noticed'}: {rule.name}  {outcome.test}", flush=True)
    minutes = (time.monotonic() - began) / 60
    print(f"{len(rules)} rules removed, {survivors} not noticed, in {minutes:.1f} minutes")
    return 1 if survivors or not rules else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--only", default="", help="rules whose name contains this text")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    return parser.parse_args(arguments)


@contextmanager
def _copies(number: int) -> Iterator[list[Path]]:
    """Copies of the checkout, so that no edit ever touches the code itself."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    with tempfile.TemporaryDirectory(prefix="plinth-mutants-") as root:
        folders = [Path(root) / str(place) for place in range(number)]
        for folder in folders:
            for name in listed:
                if (ROOT / name).is_file():
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(ROOT / name, folder / name)
        yield folders


def _check_unchanged(folder: Path, services: TestServices, rules: Sequence[Rule]) -> str | None:
    """Without a removal everything is green: else a red test would prove nothing."""
    if faults := [f"{rule.name}: {fault}" for rule in rules if (fault := rule.find_fault())]:
        return "\n".join(faults)
    tests = sorted({test for rule in rules for test in rule.tests})
    done = _run_tests(folder, services, tests)
    return None if done.returncode == 0 else f"the unchanged code fails:\n{done.stdout[-4000:]}"


def _check_rule(folder: Path, services: TestServices, rule: Rule) -> Outcome:
    path = folder / rule.file
    whole = path.read_text()
    try:
        path.write_text(whole.replace(rule.old, rule.new))
        done = _run_tests(folder, services, rule.tests)
    except subprocess.TimeoutExpired:
        return Outcome(None, "ran out of time")
    finally:
        path.write_text(whole)
    if done.returncode == 0:
        return Outcome("NOT NOTICED")
    if done.returncode != FAILED:
        return Outcome(f"DID NOT RUN (pytest ended with {done.returncode})", done.stdout[-1500:])
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return Outcome(None, failed[0].split(" - ")[0] if failed else "")


def _run_tests(
    folder: Path, services: TestServices, tests: Sequence[str]
) -> subprocess.CompletedProcess[str]:
    environment = bare_environment() | {
        "PYTHONPATH": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONDONTWRITEBYTECODE": "1",  # two edits within a second could share a cached file
        "TEST_DATABASE_URL": services.server_url,
        "TEST_REDIS_URL": services.redis_url,
        "DATA_DIR": str(folder / ".data"),
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", *tests],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TEST_SECONDS * (1 if len(tests) < 8 else 6),
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())
