"""The settings of the application's public URL."""

import re
from typing import Annotated

from pydantic import AfterValidator

PAGES = ("/docs", "/redoc", "/admin", "/.well-known")

# host [":" port] of RFC 9110, section 7.2: a name, an IPv4 address, or an IPv6 one in brackets.
HOST = re.compile(r"(?P<name>[a-z0-9._-]{1,255}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{0,5})?", re.ASCII)


def check_host(text: str) -> str:
    """Return an entry of `ALLOWED_HOSTS` in lower case.

    Raises:
        ValueError
    """
    host = text.strip().lower().removesuffix(".")
    match = HOST.fullmatch(host.removeprefix("."))
    if match is None or match["name"] != host.removeprefix("."):
        raise ValueError(
            "is not a host name: write 'api.example.com', or '.example.com' for a domain "
            "and all its subdomains, without a scheme, a port or *"
        )
    return host


def check_root_path(text: str) -> str:
    """Return `ROOT_PATH` in ASGI's form: empty, or `/a/b` without a trailing slash.

    Raises:
        ValueError
    """
    path = text.rstrip("/")
    if path and not re.fullmatch(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", path):
        raise ValueError("must be a path that begins with a slash, such as /service/api")
    return path


def find_path_clash(root_path: str, *own_paths: str) -> str | None:
    """Return a message if `ROOT_PATH` is a prefix of one of the application's paths.

    A proxy may strip `ROOT_PATH` or pass it on. With such a path, a request does not show which.
    """
    for own in (*own_paths, *PAGES):
        if root_path and f"{own}/".startswith(f"{root_path}/"):
            return (
                f"ROOT_PATH={root_path} is a prefix of the application's path {own}: choose "
                "another ROOT_PATH, or an API_V1_PREFIX that does not begin with it, such as /v1"
            )
    return None


HostName = Annotated[str, AfterValidator(check_host)]
RootPath = Annotated[str, AfterValidator(check_root_path)]
