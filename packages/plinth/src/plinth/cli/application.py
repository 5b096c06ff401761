"""Load the application, or only its models, for a command."""

import json
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import MetaData

from plinth import project
from plinth.db.models import Base

if TYPE_CHECKING:  # importing it takes half a second
    from fastapi import FastAPI


def load_metadata() -> MetaData:
    """Import the application's models and return all tables, the library's included."""
    package = project.find_package()
    if find_spec(package) and find_spec(f"{package}.models"):
        import_module(f"{package}.models")
    import_module("plinth.organizations.models")  # not all applications import it
    return Base.metadata


def load_application() -> "FastAPI":
    module, _, name = project.find_application().partition(":")
    application: FastAPI = getattr(import_module(module), name or "app")
    return application


def print_openapi(file: Path | None) -> None:
    """Write the OpenAPI document to the file, or to stdout."""
    document = json.dumps(load_application().openapi(), indent=2, ensure_ascii=False) + "\n"
    if file is None:
        sys.stdout.write(document)
    else:
        file.write_text(document, encoding="utf-8")
