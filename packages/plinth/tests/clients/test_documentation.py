"""The TypeScript of the documentation compiles with the client of `make client`."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.clients.conftest import check_npm, npm
from tests.support.command import plinth
from tests.support.pages import find_pages, read_blocks

# Names that belong to the page of the reader.
READER = """
declare const email: string, password: string;
declare function show(message: string): void;
declare function ask(question: string): Promise<string>;
declare function mark(errors: readonly { loc: readonly unknown[]; msg: string }[]): void;
declare function list(user: { username: string }): void;
"""
IMPORT = 'import { createClient } from "plinth-client";\n'
OPTIONS = {
    "extends": "../tsconfig.json",
    "compilerOptions": {
        "noEmit": True,
        "noUnusedLocals": False,  # an example ends before the value is used
        "rootDir": "..",
        "paths": {"plinth-client": ["../src/client.ts"]},
    },
    "include": ["*.ts"],
}


def read_examples() -> dict[str, str]:
    """Return the blocks of TypeScript by page and line."""
    return {
        f"{page.stem}-{block.line}": block.text
        for page in find_pages()
        for block in read_blocks(page)
        if block.kind == "ts"
    }


@pytest.fixture(scope="module")
def folder(client: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client with the routes for cookies, and a folder `docs` beside its source."""
    folder = tmp_path_factory.mktemp("documented") / "typescript"
    shutil.copytree(client, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "node_modules").symlink_to(client / "node_modules")
    document = plinth("openapi", "--output", str(folder / "openapi.json"), AUTH_COOKIES="true")
    assert document.returncode == 0, document.stderr
    check_npm(folder, "run", "generate")
    (folder / "docs").mkdir()
    (folder / "docs" / "tsconfig.json").write_text(json.dumps(OPTIONS))
    (folder / "docs" / "reader.d.ts").write_text(READER)
    return folder


def write(folder: Path, name: str, text: str) -> Path:
    begin = "" if "import " in text or "createClient" not in text else IMPORT
    file = folder / "docs" / f"{name}.ts"
    file.write_text(f"{begin}{text}\nexport {{}};\n")
    return file


def test_typescript_of_the_documentation_compiles(folder: Path) -> None:
    examples = read_examples()
    assert {name.rpartition("-")[0] for name in examples} >= {"browser-sessions", "clients"}
    for name, text in examples.items():
        write(folder, name, text)
    check_npm(folder, "exec", "--", "tsc", "--project", "docs")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('GET("/api/v1/users/me"', 'GET("/api/v1/users/myself"'),
        ("error.challenge", "error.token"),
        ('transport: "cookie"', 'transport: "cookies"'),
        ("await fetch(", "await fetsh("),
    ],
)
def test_an_example_with_a_mistake_does_not_compile(folder: Path, right: str, wrong: str) -> None:
    found = next(text for text in read_examples().values() if right in text)
    mistake = write(folder, "mistake", found.replace(right, wrong))
    ended = npm(folder, "exec", "--", "tsc", "--project", "docs")
    mistake.unlink()
    assert ended.returncode != 0
    assert "docs/mistake.ts" in ended.stdout


def test_each_path_of_the_documentation_exists(folder: Path) -> None:
    """The compiler does not check the URLs of `fetch`."""
    known = json.loads((folder / "openapi.json").read_text())["paths"]
    text = "\n".join(read_examples().values()).replace("${api}", "/api/v1")
    paths = set(re.findall(r"/api/v1/[\w/-]+", text))
    assert len(paths) > 3
    assert paths <= set(known)


def test_all_typescript_is_marked_so() -> None:
    """Another mark would keep a block from the compiler."""
    marks = {it.kind for page in find_pages() for it in read_blocks(page)}
    assert not marks & {"typescript", "tsx"}
