"""Check the language of prose, messages and names of tests against the rules of `prose.toml`.

python scripts/check_prose.py [FILE ...]     # all tracked files without arguments
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

RULES = Path(__file__).with_name("prose.toml")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
FENCED = re.compile(r"^(\s*)(```|~~~).*?^\1\2\s*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`|\]\([^)]*\)|<[^>\n]*>|https?://\S+")
MIN_MESSAGE_WORDS = 3


class Text(NamedTuple):
    """A piece of prose, and the line where it begins."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Rule:
    """
    Attributes:
        advice: what to write instead.
        scope: the texts that the rule applies to.
        except_in: patterns of the files that the rule does not apply to.
    """

    pattern: re.Pattern[str]
    advice: str
    scope: Literal["prose", "everywhere", "test names"] = "prose"
    except_in: tuple[str, ...] = ()


class Finding(NamedTuple):
    file: Path
    line: int
    found: str
    advice: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.found!r}: {self.advice}"


def main(names: list[str]) -> int:
    rules = load_rules(RULES)
    files = [Path(name) for name in names] or find_files(RULES)
    findings = [it for file in files for it in check_file(file, rules)]
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    if findings:
        sys.stderr.write(f"{len(findings)} findings; scripts/prose.toml has the rules\n")
    return 1 if findings else 0


def load_rules(file: Path) -> list[Rule]:
    """Read the rules. A space in a pattern matches a line break as well."""
    found = tomllib.loads(file.read_text())
    renamed = [
        Rule(
            re.compile(rf"(?<![\w.-]){old}(?![\w-])"),
            f"is now {new}",
            scope="everywhere",
            except_in=tuple(found["old_names_in"]),
        )
        for old, new in found["renamed"].items()
    ]
    return [
        *(_parse_rule(it) for it in found["rule"]),
        *(replace(_parse_rule(it), scope="test names") for it in found["test_name_rule"]),
        *renamed,
    ]


def _parse_rule(table: dict[str, Any]) -> Rule:
    flags = re.IGNORECASE if table.get("ignore_case", True) else 0
    return Rule(re.compile(table["pattern"].replace(" ", r"\s+"), flags), table["advice"])


def find_files(rules: Path) -> list[Path]:
    skipped = tomllib.loads(rules.read_text())["skip"]
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.md"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return [
        Path(name)
        for name in listed.stdout.split("\n")
        if name and Path(name).is_file() and not any(Path(name).match(it) for it in skipped)
    ]


def check_file(file: Path, rules: list[Rule]) -> Iterator[Finding]:
    source = file.read_text()
    is_python = file.suffix == ".py"
    names = list(read_test_names(source)) if is_python else []
    prose = [*(read_python(source) if is_python else read_markdown(source)), *names]
    texts = {"prose": prose, "everywhere": [Text(1, source)], "test names": names}
    for rule in rules:
        if any(file.match(it) for it in rule.except_in):
            continue
        for piece in texts[rule.scope]:
            for match in rule.pattern.finditer(piece.text):
                line = piece.line + piece.text.count("\n", 0, match.start())
                yield Finding(file, line, match.group().strip(), rule.advice)


def read_markdown(source: str) -> Iterator[Text]:
    """Yield the text without code, with each newline kept."""
    plain = FENCED.sub(lambda match: "\n" * match.group().count("\n"), source)
    yield Text(1, CODE.sub(_blank, plain))


def read_python(source: str) -> Iterator[Text]:
    """Yield docstrings, comments, and string literals of at least `MIN_MESSAGE_WORDS` words."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if len(node.value.split()) >= MIN_MESSAGE_WORDS:
            yield Text(node.lineno, CODE.sub(_blank, node.value))
    comments: list[Text] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            text = CODE.sub(_blank, token.string.lstrip("#: "))
            if comments and token.start[0] == comments[-1].line + comments[-1].text.count("\n") + 1:
                last = comments.pop()
                text = f"{last.text}\n{text}"
                comments.append(Text(last.line, text))
            else:
                comments.append(Text(token.start[0], text))
    yield from comments


def read_test_names(source: str) -> Iterator[Text]:
    """Yield the name of each test function as a sentence."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            prefix, _, name = node.name.partition("test_")
            if name and not prefix:
                yield Text(node.lineno, name.replace("_", " ").capitalize())


def _blank(match: re.Match[str]) -> str:
    return "`" + " " * (len(match.group()) - 2) + "`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
