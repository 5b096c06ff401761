"""Settings of an application in the object that the library reads."""

import re
import textwrap
from pathlib import Path

import pytest

from tests.support.environment import run_python

CONFIG = """
from plinth import config


class Settings(config.Settings):
    SHOP_LIMIT: int = 3
    PROJECT_NAME: str = "Shop"


settings = config.bind(Settings)
"""
LIBRARY_FIRST = """
from plinth.config import settings
from plinth.security import signing  # has imported the name before
from shop.core import config
print(settings is config.settings is signing.settings, settings.SHOP_LIMIT, settings.PROJECT_NAME)
"""
APPLICATION_FIRST = """
from shop.core.config import settings
from plinth import config
print(settings is config.settings, settings.SHOP_LIMIT, type(settings).__module__)
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop" / "core"
    folder.mkdir(parents=True)
    (folder / "config.py").write_text(textwrap.dedent(CONFIG))
    (folder / "__init__.py").touch()
    (folder.parent / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text('[tool.plinth]\napp = "shop.main:app"\n')
    return tmp_path


def test_whoever_imports_the_library_first_gets_them(shop: Path) -> None:
    found = run_python(LIBRARY_FIRST, cwd=shop, SHOP_LIMIT="5")
    assert found.stdout == "True 5 Shop\n", found.stderr


def test_whoever_imports_the_application_first_gets_them(shop: Path) -> None:
    found = run_python(APPLICATION_FIRST, cwd=shop)
    assert found.stdout == "True 3 shop.core.config\n", found.stderr


def test_a_wrong_value_is_named_as_one_of_the_library_is(shop: Path) -> None:
    ended = run_python(LIBRARY_FIRST, cwd=shop, SHOP_LIMIT="many", REDIS_PORT="x")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert {"SHOP_LIMIT", "REDIS_PORT"} <= set(re.findall(r"^ *(\w+):", ended.stderr, re.MULTILINE))


def test_an_application_without_settings_of_its_own_has_the_library_s(tmp_path: Path) -> None:
    code = "from plinth import config; print(type(config.settings) is config.Settings)"
    found = run_python(code, cwd=tmp_path, PLINTH_APP="elsewhere.main:app")
    assert found.stdout == "True\n", found.stderr


def test_an_application_whose_module_binds_nothing_has_the_library_s(shop: Path) -> None:
    (shop / "shop" / "core" / "config.py").write_text("NAME = 1\n")
    code = "import shop.core.config; from plinth.config import settings; print(settings.DEBUG)"
    found = run_python(code, cwd=shop)
    assert found.stdout == "False\n", found.stderr


def test_a_fault_in_the_application_s_module_is_not_hidden(shop: Path) -> None:
    (shop / "shop" / "core" / "config.py").write_text("import nowhere_to_be_found\n")
    ended = run_python("import plinth.config", cwd=shop)
    assert "No module named 'nowhere_to_be_found'" in ended.stderr


@pytest.mark.parametrize("value", ["shop", ":app", "shop.main:", "shop main:app", "../shop:app"])
def test_an_application_that_is_named_wrongly_gets_one_sentence(value: str, tmp_path: Path) -> None:
    ended = run_python("import plinth.config", cwd=tmp_path, PLINTH_APP=value)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Plinth cannot start: PLINTH_APP")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "line", ["tool.plinth = 1", "tool.plinth.app = 1", 'tool.plinth.app = "x"']
)
def test_a_wrong_line_of_pyproject_gets_one_sentence(line: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f"{line}\n")
    ended = run_python("import plinth.config", cwd=tmp_path)
    assert ended.returncode == 1
    assert "must be package.module:name" in ended.stderr
    assert "Traceback" not in ended.stderr


OPENAPI = "import sys; sys.argv = ['plinth', 'openapi']; from plinth.cli import main; main()"


def test_a_module_that_the_application_lacks_is_not_called_a_missing_package(shop: Path) -> None:
    (shop / "shop" / "main.py").write_text("import shop.nowhere\n")
    ended = run_python(OPENAPI, cwd=shop)
    assert "No module named 'shop.nowhere'" in ended.stderr
    assert "make install" not in ended.stderr


def test_without_an_application_a_command_says_where_to_run_it(tmp_path: Path) -> None:
    ended = run_python(OPENAPI, cwd=tmp_path, PLINTH_APP="elsewhere.main:app")
    assert ended.stderr == (
        "No package elsewhere in this folder: run the command in the project's folder.\n"
    )
