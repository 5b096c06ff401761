"""What a process loads before it serves: time of each start, and memory of each worker."""

import gc
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest

from app.cli.loading import loading
from app.core.lean import without
from tests.support.environment import COMPLETE, ROOT, run_python

# docs/decisions/start-up.md says of each who brought it in, and what it cost.
NOT_TO_SERVE = {
    "alembic",
    "app.core.migrations",
    "app.services.mail_worker",
    "jinja2",
    "mako",
    "opentelemetry.sdk",
    "pygments",
    "rich",
    "smtplib",
    "starlette_admin",
}
LOAD = """
import sys
import app.cli.commands, app.cli.serve, app.main
print(*sys.modules)
"""
PARENT = """
import sys
from app.cli.loading import loading
with loading():
    import app.cli.serve
print(*sys.modules)
"""
DOCUMENT = """
from app.cli.loading import load_document_models
load_document_models()
from app.main import app
from fastapi.openapi.models import OpenAPI
from pydantic import BaseModel
print(OpenAPI.__pydantic_complete__)
print("/api/v1/users/me" in app.openapi()["paths"])
print("defer_build" in BaseModel.model_config)
"""
OLD_MODELS = """
import sys
from app.cli.loading import know_old_models_by_their_module
know_old_models_by_their_module()
from app.main import app
print("pydantic.v1.main" in sys.modules)
from fastapi.exceptions import PydanticV1NotSupportedError
from pydantic.v1 import BaseModel
class Old(BaseModel):
    name: str
for kind in (Old, list[Old], Old | None):
    try:
        app.get("/old", response_model=kind)(print)
    except PydanticV1NotSupportedError:
        print("refused")
"""


def test_a_process_that_serves_loads_nothing_that_it_does_not_need() -> None:
    assert all(map(find_spec, NOT_TO_SERVE)), "one is not installed: its absence shows nothing"
    done = run_python(LOAD, cwd=ROOT, **COMPLETE)
    assert done.returncode == 0, done.stderr
    loaded = NOT_TO_SERVE & set(done.stdout.split())
    assert not loaded, "find who imports it by `python -X importtime -c 'import app.main'`"


def test_who_starts_the_workers_loads_no_application() -> None:
    done = run_python(PARENT, cwd=ROOT, **COMPLETE)
    assert done.returncode == 0, done.stderr
    assert {"fastapi", "app.main"}.isdisjoint(done.stdout.split())


def test_while_modules_are_loaded_nothing_is_collected_and_then_again() -> None:
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


def test_the_document_is_whole_though_its_models_were_not_built() -> None:
    done = run_python(DOCUMENT, cwd=ROOT, **COMPLETE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False", "True", "False"]


def test_models_of_pydantic_1_are_refused_and_looked_for_only_where_there_may_be_some() -> None:
    done = run_python(OLD_MODELS, cwd=ROOT, **COMPLETE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False", "refused", "refused", "refused"]


def test_a_module_is_out_of_sight_only_until_somebody_asks_for_it() -> None:
    with without("zipapp", "json"):
        assert "json" in sys.modules, "one that is loaded stays"
        with pytest.raises(ModuleNotFoundError):
            import_module("zipapp")
    assert import_module("zipapp")
