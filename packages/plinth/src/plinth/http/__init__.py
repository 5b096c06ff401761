"""HTTP: problem documents (RFC 9457), the OpenAPI document, and the choice of routes."""

from typing import TYPE_CHECKING

from plinth import import_on_use

if TYPE_CHECKING:
    from plinth.http.openapi import optional_authentication
    from plinth.http.problems import responses
    from plinth.http.routes import without_routes
    from plinth.request.conventions import Conventions, ErrorFormat, Failure
else:  # `plinth serve` imports `http.protocol` in its parent process, which needs no FastAPI
    __getattr__ = import_on_use(
        __name__,
        {
            "Conventions": "request.conventions",
            "ErrorFormat": "request.conventions",
            "Failure": "request.conventions",
            "optional_authentication": "http.openapi",
            "responses": "http.problems",
            "without_routes": "http.routes",
        },
    )

__all__ = [
    "Conventions",
    "ErrorFormat",
    "Failure",
    "optional_authentication",
    "responses",
    "without_routes",
]
