"""A new instance of this repository's application."""

from fastapi import FastAPI

from app.api.v1 import api_router
from plinth import application
from plinth.application import lifespan

__all__ = ["create_app", "lifespan"]


def create_app() -> FastAPI:
    return application.create_app(api_router)
