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


def test_settings_are_bound_when_the_library_is_imported_first(shop: Path) -> None:
    found = run_python(LIBRARY_FIRST, cwd=shop, SHOP_LIMIT="5")
    assert found.stdout == "True 5 Shop\n", found.stderr


def test_settings_are_bound_when_the_application_is_imported_first(shop: Path) -> None:
    found = run_python(APPLICATION_FIRST, cwd=shop)
    assert found.stdout == "True 3 shop.core.config\n", found.stderr


def test_invalid_application_setting_is_reported_like_a_library_setting(shop: Path) -> None:
    ended = run_python(LIBRARY_FIRST, cwd=shop, SHOP_LIMIT="many", REDIS_PORT="x")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert {"SHOP_LIMIT", "REDIS_PORT"} <= set(re.findall(r"^ *(\w+):", ended.stderr, re.MULTILINE))


def test_application_without_settings_uses_the_library_settings(tmp_path: Path) -> None:
    code = "from plinth import config; print(type(config.settings) is config.Settings)"
    found = run_python(code, cwd=tmp_path, PLINTH_APP="elsewhere.main:app")
    assert found.stdout == "True\n", found.stderr


def test_config_module_without_bind_uses_the_library_settings(shop: Path) -> None:
    (shop / "shop" / "core" / "config.py").write_text("NAME = 1\n")
    code = "import shop.core.config; from plinth.config import settings; print(settings.DEBUG)"
    found = run_python(code, cwd=shop)
    assert found.stdout == "False\n", found.stderr


def test_import_error_of_the_config_module_is_raised(shop: Path) -> None:
    (shop / "shop" / "core" / "config.py").write_text("import nowhere_to_be_found\n")
    ended = run_python("import plinth.config", cwd=shop)
    assert "No module named 'nowhere_to_be_found'" in ended.stderr


@pytest.mark.parametrize("value", ["shop", ":app", "shop.main:", "shop main:app", "../shop:app"])
def test_invalid_plinth_app_is_reported_in_one_sentence(value: str, tmp_path: Path) -> None:
    ended = run_python("import plinth.config", cwd=tmp_path, PLINTH_APP=value)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Plinth cannot start: PLINTH_APP")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "line", ["tool.plinth = 1", "tool.plinth.app = 1", 'tool.plinth.app = "x"']
)
def test_invalid_pyproject_entry_is_reported_in_one_sentence(line: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f"{line}\n")
    ended = run_python("import plinth.config", cwd=tmp_path)
    assert ended.returncode == 1
    assert "must be package.module:name" in ended.stderr
    assert "Traceback" not in ended.stderr


OPENAPI = "import sys; sys.argv = ['plinth', 'openapi']; from plinth.cli import main; main()"


def test_missing_application_module_is_not_reported_as_a_package(shop: Path) -> None:
    (shop / "shop" / "main.py").write_text("import shop.nowhere\n")
    ended = run_python(OPENAPI, cwd=shop)
    assert "No module named 'shop.nowhere'" in ended.stderr
    assert "make install" not in ended.stderr


def test_command_without_an_application_names_the_folder_to_use(tmp_path: Path) -> None:
    ended = run_python(OPENAPI, cwd=tmp_path, PLINTH_APP="elsewhere.main:app")
    assert ended.stderr == (
        "No package elsewhere in this folder: run the command in the project's folder.\n"
    )
