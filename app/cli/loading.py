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
        with _unbuilt():
            import fastapi.openapi.models  # noqa: F401, PLC0415
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _unbuilt() -> Iterator[None]:
    """Models that are declared meanwhile are built when they are first used: those of the OpenAPI
    document when somebody asks for it. 0.04 s of a start."""
    BaseModel.model_config["defer_build"] = True
    try:
        yield
    finally:
        del BaseModel.model_config["defer_build"]
