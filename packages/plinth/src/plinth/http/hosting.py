"""Middleware for the address of the application: allowed hosts and the path below a proxy.

Each is installed only if its setting is set (`ALLOWED_HOSTS`, `ROOT_PATH`).
"""

from collections.abc import Awaitable, Collection, Sequence
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from plinth.config.urls.public_url import HOST
from plinth.http.problems import problem
from plinth.http.routes import route_path


class RootPathMiddleware:
    """Set `root_path` for a proxy that serves the application below a path.

    In ASGI, `path` includes `root_path`. Add the prefix if the proxy strips it, or if a probe sends
    the request directly to the process.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self.app = app
        self.root_path = root_path

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] in ("http", "websocket"):
            scope["root_path"] = self.root_path
            path: str = scope["path"]
            if path != self.root_path and not path.startswith(f"{self.root_path}/"):
                scope["path"] = self.root_path + path
                scope["raw_path"] = self.root_path.encode() + (scope.get("raw_path") or b"")
        return self.app(scope, receive, send)


class AllowedHostsMiddleware:
    """Return 400 if `Host` is not allowed, since links and redirects would contain it.

    Args:
        hosts: exact names; a name that begins with a dot also allows its subdomains.
        exempt_paths: paths that allow every host. Kubernetes probes a pod by its IP address.
    """

    def __init__(
        self, app: ASGIApp, hosts: Sequence[str], exempt_paths: Collection[str] = ()
    ) -> None:
        self.app = app
        self.exempt_paths = frozenset(exempt_paths)
        self._names = frozenset(host.removeprefix(".") for host in hosts)
        self._suffixes = tuple(host for host in hosts if host.startswith("."))

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] not in ("http", "websocket") or self._is_allowed(scope):
            return self.app(scope, receive, send)
        if scope["type"] == "websocket":
            return send({"type": "websocket.close", "code": 1008})
        response = problem(
            HTTPStatus.BAD_REQUEST,
            "The Host header is not allowed (setting ALLOWED_HOSTS)",
            "host_not_allowed",
        )
        return response(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        if route_path(scope) in self.exempt_paths:
            return True
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1:
            return False  # RFC 9112, section 3.2: a proxy may use the other value
        match = HOST.fullmatch(hosts[0].lower())
        name = match["name"].removesuffix(".") if match else ""
        return name in self._names or name.endswith(self._suffixes)
