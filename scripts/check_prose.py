"""Check the language of documentation, docstrings, comments and messages against `prose.toml`.

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
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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
        everywhere: check code as well; otherwise prose only.
        except_in: patterns of the files that the rule does not apply to.
    """

    pattern: re.Pattern[str]
    advice: str
    everywhere: bool = False
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
    rules = [
        Rule(
            re.compile(
                it["pattern"].replace(" ", r"\s+"),
                re.IGNORECASE if it.get("ignore_case", True) else 0,
            ),
            it["advice"],
        )
        for it in found["rule"]
    ]
    names = [
        Rule(
            re.compile(rf"(?<![\w.-]){old}(?![\w-])"),
            f"is now {new}",
            everywhere=True,
            except_in=tuple(found["old_names_in"]),
        )
        for old, new in found["renamed"].items()
    ]
    return [*rules, *names]


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
    pieces = list(read_python(source) if file.suffix == ".py" else read_markdown(source))
    for rule in rules:
        if any(file.match(it) for it in rule.except_in):
            continue
        for piece in [Text(1, source)] if rule.everywhere else pieces:
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


def _blank(match: re.Match[str]) -> str:
    return "`" + " " * (len(match.group()) - 2) + "`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
