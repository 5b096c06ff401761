"""An application chooses its password rules, and the OpenAPI document states them."""

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from plinth.config import PasswordRules
from tests.support.environment import run_python

CONFIG = """
from plinth import config
from plinth.config import PasswordRules, bind


class Settings(config.Settings):
    PASSWORD_RULES = PasswordRules(min_length=15, max_length=200, kinds=())


settings = bind(Settings)
"""
MAIN = """
from fastapi import APIRouter
from plinth.accounts.routes import credentials
from plinth.accounts.schemas.user import UserCreate
from plinth.application import create_app

routers = APIRouter()
routers.include_router(credentials.public_router)

@routers.post("/register")
async def register(account: UserCreate) -> None: ...

app = create_app(routers)
"""
SHOW = """
import json
from pydantic import ValidationError
from plinth.accounts.schemas.auth import PasswordReset
from shop.main import app

def is_taken(password):
    try:
        return bool(PasswordReset(token="t", password=password))
    except ValidationError:
        return False

schemas = app.openapi()["components"]["schemas"]
taken = [is_taken(it) for it in ("fifteen letters", "Short-Horse-7", "x" * 200, "x" * 201)]
print(json.dumps([[schemas[it]["properties"]["password"] for it in
    ("UserCreate", "PasswordReset")], taken]))
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop" / "core"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent):
        (package / "__init__.py").touch()
    (folder / "config.py").write_text(textwrap.dedent(CONFIG))
    (folder.parent / "main.py").write_text(textwrap.dedent(MAIN))
    (tmp_path / "pyproject.toml").write_text('[tool.plinth]\napp = "shop.main:app"\n')
    return tmp_path


def test_rules_of_an_application_apply_and_are_documented(shop: Path) -> None:
    ended = run_python(SHOW, cwd=shop, ENVIRONMENT="development", SECRET_KEY="k" * 43)
    assert ended.returncode == 0, ended.stderr
    documented, taken = json.loads(ended.stdout)
    assert taken == [True, False, True, False]
    for schema in documented:
        assert (schema["minLength"], schema["maxLength"]) == (15, 200)
        assert schema["description"] == "15 to 200 characters."


def test_default_rules_match_the_guide() -> None:
    rules = PasswordRules()
    assert rules.describe() == (
        "8 to 100 characters, with an upper-case letter, a lower-case letter and a digit."
    )
    assert rules.check_kinds("Aa1") == "Aa1"
    for password in ("AAA1", "aaa1", "Aaaa"):
        with pytest.raises(ValueError, match="must contain an upper-case letter, a lower"):
            rules.check_kinds(password)


def test_a_symbol_is_neither_letter_nor_digit() -> None:
    rules = PasswordRules(kinds=("symbol",))
    assert rules.check_kinds("a b") == "a b"
    with pytest.raises(ValueError, match="must contain a character that is neither"):
        rules.check_kinds("Äa1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_length": 0},
        {"min_length": 101},
        {"max_length": 1025},
        {"min_length": 2},
        {"kinds": ("vowel",)},
    ],
)
def test_contradictory_rules_are_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="PASSWORD_RULES: "):
        PasswordRules(**wrong)
