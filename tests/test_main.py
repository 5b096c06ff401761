from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from app.main import app


def test_what_fastapi_stands_around_ours_and_we_leave_out_is_known() -> None:
    """Something new there may be needed: look at what it does, then add it here or keep it."""
    theirs: Any = FastAPI.build_middleware_stack(app)
    ours: Any = app.build_middleware_stack()
    left_out = []
    while type(theirs) is not type(ours):
        left_out.append(type(theirs).__name__)
        theirs = theirs.app
    assert left_out == [
        "ServerErrorMiddleware", "ExceptionTelemetryMiddleware", "AppBodyLimitMiddleware"
    ]  # fmt: skip
    assert app.max_body_size is None


def test_no_answer_is_a_sequence_which_pydantic_writes_by_python() -> None:
    """A `list` is written by its core, at half the cost. It is `Sequence` where it is taken."""
    answers = {
        route.path: str(field._type_adapter.core_schema)  # noqa: SLF001
        for route in iter_route_contexts(app.routes)
        if (field := getattr(route, "response_field", None))
    }
    assert "/api/v1/users/search" in answers
    assert [path for path, schema in answers.items() if "serialize_sequence" in schema] == []
