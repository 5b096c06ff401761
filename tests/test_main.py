from typing import Any

from fastapi import FastAPI

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
