from starlette.types import Scope

MAX_HEADER_FIELDS = 100  # of one request


def find_header(scope: Scope, name: bytes) -> str | None:
    """The first of this name, which is in lower case as ASGI has them. A `Headers` object, made for
    one look, costs ten times as much."""
    for given, value in scope["headers"]:
        if given == name:
            text: str = value.decode("latin-1")
            return text
    return None
