from http import HTTPStatus

from starlette.types import Scope

MAX_HEADER_FIELDS = 100  # of one request
MAX_PATH_BYTES = 2048  # as sent; each escape in it costs 0.1 us
TARGET_TOO_LONG = HTTPStatus(414)  # its name differs between versions of Python
REFUSAL_SECONDS = 0.02
"""How late a request over a bound is refused: on one connection, 50 of them a second at most."""


def find_header(scope: Scope, name: bytes) -> str | None:
    """The first of this name, which is in lower case as ASGI has them. A `Headers` object, made for
    one look, costs ten times as much."""
    for given, value in scope["headers"]:
        if given == name:
            text: str = value.decode("latin-1")
            return text
    return None
