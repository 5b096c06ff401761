"""Small proxies on loopback."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


@contextmanager
def proxying(upstream: int, root_path: str, *, strip: bool) -> Iterator[str]:
    """Serve an application below a path with a reverse proxy; yield its URL without the path.

    Args:
        upstream: the application's port.
        strip: whether the proxy removes the path from the request.
    """
    with _accepting(partial(_forward_request, upstream, root_path.encode(), strip)) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def reachable_by_all(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """Yield an environment with TCP addresses: only the owner may use the sockets."""
    database, redis = urlsplit(environment["DATABASE_URL"]), urlsplit(environment["REDIS_URL"])
    socket_folder = parse_qs(database.query).get("host", [""])[0]
    if not socket_folder or redis.scheme != "unix":
        yield environment
        return
    with (
        _accepting(partial(_forward_to_socket, Path(socket_folder, ".s.PGSQL.5432"))) as postgres,
        _accepting(partial(_forward_to_socket, Path(redis.path))) as valkey,
    ):
        user = f"{database.username or 'postgres'}"
        yield environment | {
            "DATABASE_URL": f"postgresql://{user}@127.0.0.1:{postgres}{database.path}",
            "REDIS_URL": f"redis://127.0.0.1:{valkey}/0",
        }


@contextmanager
def _accepting(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):  # the listener was closed
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _forward_request(upstream: int, root: bytes, strip: bool, client: socket.socket) -> None:
    with client, suppress(OSError):
        received = b""
        while b"\r\n\r\n" not in received:
            received += client.recv(65536) or b"\r\n\r\n"
        line, _, rest = received.partition(b"\r\n")
        method, _, target = line.partition(b" ")
        if not target.startswith(root + b"/"):
            client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        if strip:
            target = target.removeprefix(root)
        with socket.create_connection(("127.0.0.1", upstream)) as server:
            # With one request per connection, only its first line has to be parsed.
            server.sendall(method + b" " + target + b"\r\nConnection: close\r\n" + rest)
            _exchange(client, server)


def _forward_to_socket(path: Path, client: socket.socket) -> None:
    with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
        server.connect(str(path))
        _exchange(client, server)


def _exchange(client: socket.socket, server: socket.socket) -> None:
    threading.Thread(target=_copy, args=(client, server), daemon=True).start()
    _copy(server, client)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
