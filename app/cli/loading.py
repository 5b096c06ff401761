"""Modules are loaded without the garbage collector, which would walk through all of them again and
again, and find nothing: 0.2 s of a start. What is loaded then is left out of every later round."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel


@contextmanager
def loading() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def load_document_models() -> None:
    """FastAPI's, which it would build at once: these are built when somebody asks for the OpenAPI
    document. 0.04 s of a start."""
    BaseModel.model_config["defer_build"] = True  # for all that are declared meanwhile
    try:
        import fastapi.openapi.models  # noqa: F401, PLC0415
    finally:
        del BaseModel.model_config["defer_build"]
