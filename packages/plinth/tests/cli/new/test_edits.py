"""Edits of the modules that list resources, in any formatting."""

import ast
import re
from pathlib import Path

import pytest

from plinth.cli.failure import Failure
from plinth.cli.new import checkout, listed
from plinth.cli.new.edits import add_import, add_to_list, remove_from_list, remove_import
from plinth.cli.new.words import class_name
from tests.support.environment import ROOT

MODULES = [
    "from app.api.v1 import auth\n\nPRIVATE = [auth.router]\n",
    "from app.api.v1 import (\n    auth,  # first\n    users,\n)\n\nPRIVATE = [\n    auth.me,\n]\n",
    "from app.api.v1 import auth, users\n\nPRIVATE: list[object] = [auth.router, users.router,]\n",
    '"""Füße €"""; from app.api.v1 import auth; PRIVATE = ["€", auth.router]  # über\n',
    "from app.api.v1 import auth\n\nPRIVATE = []\n",
]


@pytest.mark.parametrize("text", MODULES)
def test_entry_is_added_once_and_removed(text: str) -> None:
    added = add_to_list(add_import(text, "app.api.v1", "notes"), "PRIVATE", "notes.router")

    assert "notes" in [alias.name for alias in find_import(added).names]
    assert ast.unparse(find_list(added).elts[-1]) == "notes.router"
    assert add_import(added, "app.api.v1", "notes") == added
    assert add_to_list(added, "PRIVATE", "notes.router") == added
    removed = remove_from_list(
        remove_import(added, "app.api.v1", "notes"), "PRIVATE", "notes.router"
    )
    assert ast.unparse(ast.parse(removed)) == ast.unparse(ast.parse(text))


def find_import(text: str) -> ast.ImportFrom:
    return next(node for node in ast.parse(text).body if isinstance(node, ast.ImportFrom))


def find_list(text: str) -> ast.List:
    return next(node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.List))


def test_new_import_line_is_added_and_removed() -> None:
    text = 'from app.models.base import Base\n\n__all__ = ["Base"]\n'
    added = add_import(text, "app.models.note", "Note")
    assert "from app.models.base import Base\nfrom app.models.note import Note\n" in added
    assert remove_import(added, "app.models.note", "Note") == text


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_remove_from_list_removes_only_the_named_item(place: str) -> None:
    text = 'NAMES = [\n    "first",  # 1\n    "middle",\n    "last",\n]\n'
    left = ast.literal_eval(find_list(remove_from_list(text, "NAMES", f'"{place}"')))
    assert left == [name for name in ("first", "middle", "last") if name != place]


def test_removing_a_missing_entry_changes_nothing() -> None:
    text = "from app.api.v1 import auth\n\nPRIVATE = [auth.router]\n"
    assert remove_import(text, "app.api.v1", "notes") == text
    assert remove_from_list(text, "PRIVATE", "notes.router") == text


@pytest.mark.parametrize(
    "text", ["import a\n", "import a\nPRIVATE = (a,)\n", "import a\nPRIVATE = a + []\n"]
)
def test_missing_list_is_reported(text: str) -> None:
    with pytest.raises(Failure, match=r"no list PRIVATE = \[\.\.\.\]"):
        add_to_list(text, "PRIVATE", "notes.router")


# Lists as a formatter writes them. Only one state cannot be restored: a short list on several lines
# that becomes too long with one more element.
LISTS = {
    "empty": "[]",
    "one element": "[auth.router]",
    "on several lines by choice": "[\n    auth.router,\n    users.router,\n]",
    "on several lines by length": "[\n" + "    a_module_of_ours.router,\n" * 5 + "]",
    "a comment on each line": "[\n    auth.router,  # first\n    users.router,  # last\n]",
    "a comment before the end": "[\n    auth.router,\n    # yours\n]",
    "a comment at the start": "[  # all\n    auth.router,\n]",
} | {
    f"{length} characters": f"[{'x' * (length - len('PRIVATE = [.router]'))}.router]"
    for length in (86, 87, 100)  # and 14 more
}
IMPORTS = [
    "from app.api.v1 import auth, users",
    "from app.api.v1 import (\n    auth,\n    users,\n)",
    "from app.api.v1 import (\n    auth,  # first\n    users,  # last\n)",
    *(f"from app.api.v1 import {'x' * (length - 23)}" for length in (93, 94, 100)),
]


def tidy(text: str) -> str:
    return checkout.tidy(ROOT, Path("app/api/v1/__init__.py"), text)


@pytest.mark.parametrize("source", LISTS.values(), ids=LISTS)
def test_add_and_remove_restore_a_list_exactly(source: str) -> None:
    before = f"PRIVATE = {source}\n"
    assert tidy(before) == before
    added = tidy(add_to_list(before, "PRIVATE", "notes.router"))
    assert tidy(remove_from_list(added, "PRIVATE", "notes.router")) == before
    for line in re.findall(r".*\S  # \w+$", before, re.MULTILINE):
        assert line in added, "a comment stays on its line"


@pytest.mark.parametrize("source", IMPORTS)
def test_add_and_remove_restore_an_import_exactly(source: str) -> None:
    before = f"{source}\n\nauth\nnotes\nusers\n{'x' * (len(source) - 23)}\n"
    assert tidy(before) == before
    added = tidy(add_import(before, "app.api.v1", "notes"))
    assert "notes" in [alias.name for alias in find_import(added).names]
    assert tidy(remove_import(added, "app.api.v1", "notes")) == before


@pytest.mark.parametrize("name", ["ab", "zzzz", "a_name_that_is_rather_long"])
@pytest.mark.parametrize("path", listed.FILES, ids=str)
@pytest.mark.parametrize("org", [False, True])
def test_add_and_remove_restore_the_application_modules_exactly(
    path: Path, name: str, org: bool
) -> None:
    before = (ROOT / path).read_text()
    plural, model = f"{name}s", class_name(name)
    given = {"name": name, "plural": plural, "model": model}
    added = listed.enter(path, before, **given, public=not org, org=org)
    removed = listed.strike(path, tidy(added), **given)
    assert tidy(removed) == before
