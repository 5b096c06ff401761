"""The security rules: the edit that removes each rule, and the tests that must then fail."""

import ast
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.support.environment import ROOT, find_sources

RULES = Path(__file__).parent / "rules"


@dataclass(frozen=True, slots=True)
class Rule:
    """
    Attributes:
        name: the rule in a sentence.
        old: the text that enforces the rule; it occurs exactly once in `file`.
        new: the replacement that removes the rule.
        tests: pytest arguments; at least one of these tests must fail without the rule.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def remove(self, whole: str) -> str:
        """Return the text of the file without the rule."""
        return whole.replace(self.old, self.new)

    def find_fault(self) -> str | None:
        """Return the reason why the rule cannot be removed from the present code, or None."""
        path = ROOT / self.file
        if not path.is_file():
            return f"{self.file} does not exist"
        whole = path.read_text()
        if (found := whole.count(self.old)) != 1:
            return f"`old` occurs {found} times in {self.file}; it must occur once"
        try:
            ast.parse(self.remove(whole) if path.suffix == ".py" else "")
        except SyntaxError as error:
            return f"{self.file} is not valid Python without the rule: {error}"
        return next((f"{test} does not exist" for test in self.tests if not _exists(test)), None)


def _exists(test: str) -> bool:
    file, *names = test.partition("[")[0].split("::")
    if not names:
        return (ROOT / file).exists()
    return any(f"def {names[-1]}(" in path.read_text() for path in find_sources(file))


def load_rules() -> list[Rule]:
    """Read all rules, sorted by file."""
    return [
        Rule(**item | {"tests": tuple(item["tests"])})
        for path in sorted(RULES.glob("*.toml"))
        for item in tomllib.loads(path.read_text())["rule"]
    ]
