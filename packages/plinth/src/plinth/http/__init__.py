"""HTTP: problem documents (RFC 9457), the OpenAPI document, and selection of routes."""

from plinth.http.openapi import optional_authentication
from plinth.http.problems import responses
from plinth.http.routes import without_routes
from plinth.request.conventions import Conventions, ErrorFormat, Failure

__all__ = [
    "Conventions",
    "ErrorFormat",
    "Failure",
    "optional_authentication",
    "responses",
    "without_routes",
]
