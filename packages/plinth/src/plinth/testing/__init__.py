"""Fixtures for the tests of an application: `pytest_plugins = ["plinth.testing.plugin"]`."""

import pytest

for _name in ("answers", "contract", "people", "rows", "scene"):
    pytest.register_assert_rewrite(f"{__name__}.{_name}")
