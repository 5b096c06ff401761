"""Modules that a process imports before it serves; they cost start time and memory."""

import gc
from importlib.util import find_spec

import pytest

from plinth.cli.loading import loading
from tests.support.environment import COMPLETE, ROOT, run_python

# docs/explanation/decisions/start-up.md has the importer and the cost of each module.
NOT_TO_SERVE = {
    "alembic",
    "plinth.db.migrations",
    "plinth.accounts.services.mail_worker",
    "jinja2",
    "mako",
    "smtplib",
    "starlette_admin",
}
LOAD = """
import sys
import plinth.cli.commands, plinth.cli.server, app.main
print(*sys.modules)
"""
PARENT = """
import sys
from plinth.cli.loading import loading
with loading():
    import plinth.cli.server
print(*sys.modules)
"""


def test_serving_process_imports_no_unneeded_modules() -> None:
    assert all(map(find_spec, NOT_TO_SERVE)), "one is not installed: its absence shows nothing"
    done = run_python(LOAD, cwd=ROOT, **COMPLETE)
    assert done.returncode == 0, done.stderr
    loaded = NOT_TO_SERVE & set(done.stdout.split())
    assert not loaded, "find who imports it by `python -X importtime -c 'import app.main'`"


def test_parent_of_the_workers_does_not_import_the_application() -> None:
    done = run_python(PARENT, cwd=ROOT, **COMPLETE)
    assert done.returncode == 0, done.stderr
    assert {"fastapi", "app.main"}.isdisjoint(done.stdout.split())


def test_garbage_collection_is_off_only_during_imports() -> None:
    def fail() -> None:
        assert not gc.isenabled()
        raise ImportError

    try:
        with pytest.raises(ImportError), loading():
            fail()
        assert gc.isenabled()
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()
