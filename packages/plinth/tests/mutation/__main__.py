"""Remove each security rule from a copy of the code and check that a test fails: `make mutants`.

If no test fails without a rule, the rule is not protected, and the exit code is 1.
"""

import argparse
import re
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Queue

from plinth.testing.databases import test_services
from tests.mutation.copies import Copy, make_copies
from tests.mutation.rules import Rule, load_rules

TEST_SECONDS = 120
UNCHANGED_SECONDS = 1800
FAILED = 1  # pytest's exit code for failed tests; other codes mean that the tests did not run
# A removal that breaks the code itself proves nothing.
BROKEN = re.compile(r"\b(NameError|UnboundLocalError|ImportError|IndentationError|SyntaxError): ")


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    Attributes:
        fault: the reason why the rule counts as unprotected; None if a test failed.
        test: the test that failed.
    """

    fault: str | None
    test: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    rules = [rule for rule in load_rules() if options.only in rule.name]
    began = time.monotonic()
    with test_services() as services, make_copies(options.jobs, services) as copies:
        if (fault := _check_unchanged(copies, rules)) is not None:
            print(fault)
            return 1
        survivors = 0
        for rule, outcome in zip(rules, _check_rules(copies, rules), strict=True):
            survivors += outcome.fault is not None
            print(f"{outcome.fault or 'noticed'}: {rule.name}  {outcome.test}", flush=True)
    minutes = (time.monotonic() - began) / 60
    print(f"{len(rules)} rules removed, {survivors} not noticed, in {minutes:.1f} minutes")
    return 1 if survivors or not rules else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--only", default="", help="rules whose name contains this text")
    parser.add_argument("-n", "--jobs", type=int, default=2, help="number of concurrent runs")
    return parser.parse_args(arguments)


def _check_unchanged(copies: Sequence[Copy], rules: Sequence[Rule]) -> str | None:
    """Return an error if tests fail without a removal: their failure would prove nothing."""
    if faults := [f"{rule.name}: {fault}" for rule in rules if (fault := rule.find_fault())]:
        return "\n".join(faults)
    tests = sorted({test for rule in rules for test in rule.tests})
    spread = (f"-n{len(copies)}", "--dist=worksteal")
    done = copies[0].run(*spread, *tests, seconds=UNCHANGED_SECONDS)
    return None if done.status == 0 else f"the unchanged code fails:\n{done.output[-4000:]}"


def _check_rules(copies: Sequence[Copy], rules: Sequence[Rule]) -> Iterator[Outcome]:
    free: Queue[Copy] = Queue()
    for copy in copies:
        free.put(copy)

    def check(rule: Rule) -> Outcome:
        copy = free.get()
        try:
            return check_rule(copy, rule)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as threads:
        yield from threads.map(check, rules)


def check_rule(copy: Copy, rule: Rule) -> Outcome:
    with copy.without(rule):
        done = copy.run("-n0", *rule.tests, seconds=TEST_SECONDS)
    if done.status == 0:
        return Outcome("NOT NOTICED")
    if done.status is None:
        return Outcome(None, "ran out of time")
    if done.status != FAILED or BROKEN.search(done.output):
        return Outcome(f"DID NOT RUN (pytest ended with {done.status})", done.output[-1500:])
    return Outcome(None, done.failure)


if __name__ == "__main__":
    sys.exit(main())
