"""The security rules, each as the edit that removes it and the tests that have to notice."""

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
        name: what the rule demands, in a sentence.
        old: the text in `file` that enforces it; it stands there exactly once.
        new: what stands there once the rule is removed.
        tests: pytest arguments; at least one test among them fails without the rule.
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
        """Say why the rule cannot be removed from the code as it is, or None where it can."""
        path = ROOT / self.file
        if not path.is_file():
            return f"{self.file} does not exist"
        whole = path.read_text()
        if (found := whole.count(self.old)) != 1:
            return f"its text occurs {found} times in {self.file}, and has to occur once"
        try:
            ast.parse(self.remove(whole))
        except SyntaxError as error:
            return f"what is left of {self.file} is not Python: {error}"
        return next((f"{test} does not exist" for test in self.tests if not _exists(test)), None)


def _exists(test: str) -> bool:
    file, *names = test.partition("[")[0].split("::")
    if not names:
        return (ROOT / file).exists()
    return any(f"def {names[-1]}(" in path.read_text() for path in find_sources(file))


def load_rules() -> list[Rule]:
    """Read every rule, in the order of the files."""
    return [
        Rule(**item | {"tests": tuple(item["tests"])})
        for path in sorted(RULES.glob("*.toml"))
        for item in tomllib.loads(path.read_text())["rule"]
    ]
