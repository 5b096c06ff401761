"""One line in the modules that list resources, however people have written these."""

import ast

import pytest

from app.cli.failure import Failure
from app.cli.new.edits import add_import, add_to_list, remove_from_list, remove_import

MODULES = [
    "from app.api.v1 import auth\n\nPRIVATE = [auth.router]\n",
    "from app.api.v1 import (\n    auth,  # first\n    users,\n)\n\nPRIVATE = [\n    auth.me,\n]\n",
    "from app.api.v1 import auth, users\n\nPRIVATE: list[object] = [auth.router, users.router,]\n",
    '"""Füße €"""; from app.api.v1 import auth; PRIVATE = ["€", auth.router]  # über\n',
    "from app.api.v1 import auth\n\nPRIVATE = []\n",
]


@pytest.mark.parametrize("text", MODULES)
def test_a_line_is_added_once_and_taken_out_again(text: str) -> None:
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


def test_an_import_of_its_own_stands_and_goes_alone() -> None:
    text = 'from app.models.base import Base\n\n__all__ = ["Base"]\n'
    added = add_import(text, "app.models.note", "Note")
    assert "from app.models.base import Base\nfrom app.models.note import Note\n" in added
    assert remove_import(added, "app.models.note", "Note") == text


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_of_several_the_right_one_goes(place: str) -> None:
    text = 'NAMES = [\n    "first",  # 1\n    "middle",\n    "last",\n]\n'
    left = ast.literal_eval(find_list(remove_from_list(text, "NAMES", f'"{place}"')))
    assert left == [name for name in ("first", "middle", "last") if name != place]


def test_what_is_not_there_is_left_alone() -> None:
    text = "from app.api.v1 import auth\n\nPRIVATE = [auth.router]\n"
    assert remove_import(text, "app.api.v1", "notes") == text
    assert remove_from_list(text, "PRIVATE", "notes.router") == text


@pytest.mark.parametrize(
    "text", ["import a\n", "import a\nPRIVATE = (a,)\n", "import a\nPRIVATE = a + []\n"]
)
def test_a_place_that_is_not_found_is_said(text: str) -> None:
    with pytest.raises(Failure, match=r"no list PRIVATE = \[\.\.\.\]"):
        add_to_list(text, "PRIVATE", "notes.router")


def test_an_import_that_became_short_does_not_stay_on_several_lines() -> None:
    text = "from app.api.v1 import (\n    auth,\n    notes,\n    users,\n)\n"
    assert remove_import(text, "app.api.v1", "notes") == (
        "from app.api.v1 import (\n    auth,\n    users\n)\n"
    )
