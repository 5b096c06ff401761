"""Load the application, or only its models, for a command."""

from importlib import import_module
from importlib.util import find_spec
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
    return Base.metadata


def load_application() -> "FastAPI":
    module, _, name = project.find_application().partition(":")
    application: FastAPI = getattr(import_module(module), name or "app")
    return application
