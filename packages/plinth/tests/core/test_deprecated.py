"""Deprecated names and settings work and emit a warning."""

import logging
import warnings
from pathlib import Path
from types import ModuleType

import pytest

from plinth.config import deprecated, load_settings
from plinth.config.deprecated import Renamed
from plinth.errors import PlinthDeprecationWarning, resolve_moved, warn_deprecated
from tests.support.environment import run_python


@pytest.fixture
def page_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(deprecated.RENAMED, "PAGE_SIZE", Renamed("DEFAULT_PAGE_SIZE", "3.0"))
    monkeypatch.delenv("DEFAULT_PAGE_SIZE", raising=False)


def test_deprecated_name_warns_at_its_use() -> None:
    def old() -> None:
        warn_deprecated("old()", "new()", removed_in="3.0")

    with pytest.warns(
        PlinthDeprecationWarning, match=r"^old\(\) is .* in plinth-backend 3\.0: use"
    ) as found:
        old()
    assert found[0].filename == __file__


def test_moved_name_resolves_and_warns_at_its_use() -> None:
    module = ModuleType("shop")
    places = {"find": "plinth.errors:warn_deprecated"}
    vars(module)["__getattr__"] = resolve_moved("shop", places, removed_in="3.0")

    with pytest.warns(
        PlinthDeprecationWarning, match=r"use plinth\.errors\.warn_deprecated"
    ) as found:
        assert module.find is warn_deprecated
    assert found[0].filename == __file__
    with pytest.raises(AttributeError, match="module 'shop' has no attribute 'other'"):
        _ = module.other


@pytest.mark.usefixtures("page_size")
def test_a_deprecated_setting_of_the_environment_works(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PAGE_SIZE", "7")
    with pytest.warns(PlinthDeprecationWarning, match="PAGE_SIZE is deprecated"):
        assert load_settings().DEFAULT_PAGE_SIZE == 7
    assert caplog.record_tuples == [
        (
            "plinth.config.deprecated",
            logging.WARNING,
            "The setting PAGE_SIZE is deprecated: set DEFAULT_PAGE_SIZE instead",
        )
    ]


@pytest.mark.usefixtures("page_size")
def test_a_deprecated_setting_of_a_file_works() -> None:
    with pytest.warns(PlinthDeprecationWarning):
        assert load_settings(PAGE_SIZE="7").DEFAULT_PAGE_SIZE == 7


@pytest.mark.usefixtures("page_size")
def test_new_name_of_a_setting_takes_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGE_SIZE", "7")
    with pytest.warns(PlinthDeprecationWarning):
        assert load_settings(DEFAULT_PAGE_SIZE="8").DEFAULT_PAGE_SIZE == 8


@pytest.mark.usefixtures("page_size")
def test_no_warning_without_a_deprecated_setting() -> None:
    with warnings.catch_warnings(record=True) as found:
        load_settings()
    assert [it for it in found if it.category is PlinthDeprecationWarning] == []


def test_pytest_imports_the_warning_without_the_settings(tmp_path: Path) -> None:
    done = run_python(
        "import plinth.errors, sys; print('plinth.config' in sys.modules)", cwd=tmp_path
    )
    assert done.stdout == "False\n", done.stderr
