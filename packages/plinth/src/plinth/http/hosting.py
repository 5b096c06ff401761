"""The address under which clients reach the application: the hosts and the path it accepts.

Both middlewares are installed only where their setting is set (`ALLOWED_HOSTS`, `ROOT_PATH`).
"""

from collections.abc import Awaitable, Collection, Sequence
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from plinth.config.urls.public_url import HOST
from plinth.http.problems import problem
from plinth.http.routes import route_path


class RootPathMiddleware:
    """Set `root_path` for a proxy that serves the application below a path.

    ASGI has `path` include `root_path`. A proxy that passes the whole path on already fulfills
    that; where it strips the prefix, or a probe asks the process directly, the prefix is added.
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
    """Refuse a request whose `Host` is not one of ours with 400: links and redirects carry it.

    Args:
        hosts: exact names; one that begins with a dot also allows its subdomains.
        exempt_paths: answered whatever the host. Kubernetes probes a pod by its address.
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
        answer = problem(
            HTTPStatus.BAD_REQUEST,
            "The Host header does not name this service (ALLOWED_HOSTS)",
            "host_not_allowed",
        )
        return answer(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        if route_path(scope) in self.exempt_paths:
            return True
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1:
            return False  # RFC 9112, 3.2: another program may go by the other one
        found = HOST.fullmatch(hosts[0].lower())
        name = found["name"].removesuffix(".") if found else ""
        return name in self._names or name.endswith(self._suffixes)
