"""The settings of the public address of the application."""

import re
from typing import Annotated

from pydantic import AfterValidator

PAGES = ("/docs", "/redoc", "/admin", "/.well-known")

# host [":" port] of RFC 9110, 7.2: a name, an IPv4 address, or an IPv6 address in brackets.
HOST = re.compile(r"(?P<name>[a-z0-9._-]{1,255}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{0,5})?", re.ASCII)


def check_host(text: str) -> str:
    """Return an entry of `ALLOWED_HOSTS` in lower case.

    Raises:
        ValueError
    """
    host = text.strip().lower().removesuffix(".")
    found = HOST.fullmatch(host.removeprefix("."))
    if found is None or found["name"] != host.removeprefix("."):
        raise ValueError(
            "is not a host name: write 'api.example.com', or '.example.com' for a domain "
            "and all its subdomains, without a scheme, a port or *"
        )
    return host


def check_root_path(text: str) -> str:
    """Return `ROOT_PATH` as ASGI has it: empty, or `/a/b` without a slash at its end.

    Raises:
        ValueError
    """
    path = text.rstrip("/")
    if path and not re.fullmatch(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", path):
        raise ValueError("must be a path that begins with a slash, such as /service/api")
    return path


def find_path_clash(root_path: str, api_prefix: str) -> str | None:
    """Return why the two settings cannot be told apart in a path, or None.

    A proxy may pass `ROOT_PATH` on or strip it. With a route of our own below the same path, a
    request would not show which.
    """
    for own in (api_prefix, *PAGES):
        if root_path and f"{own}/".startswith(f"{root_path}/"):
            return (
                f"ROOT_PATH={root_path} is the beginning of our own path {own}: choose another "
                f"ROOT_PATH, or an API_V1_PREFIX that does not begin with it, such as /v1"
            )
    return None


HostName = Annotated[str, AfterValidator(check_host)]
RootPath = Annotated[str, AfterValidator(check_root_path)]
