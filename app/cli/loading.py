"""Modules are loaded without the garbage collector, which would walk through all of them again and
again, and find nothing: 0.2 s of a start. What is loaded then is left out of every later round."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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


def know_old_models_by_their_module() -> None:
    """FastAPI refuses the models of Pydantic 1, and to know one it loads Pydantic's copy of that.
    Whoever has such a model has loaded the copy: where it is not loaded, there is none. 0.03 s of
    a start."""
    from fastapi._compat import shared  # noqa: PLC0415

    asks = shared.is_pydantic_v1_model_class

    def is_pydantic_v1_model_class(cls: Any) -> bool:
        return "pydantic.v1.main" in sys.modules and asks(cls)

    shared.is_pydantic_v1_model_class = is_pydantic_v1_model_class
