"""A service like Have I Been Pwned's, on loopback."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

PADDING = "0" * 34
Behave = Callable[[BaseHTTPRequestHandler], None]


class Service(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a test may delay a response on purpose
    request_queue_size = 64  # with 5, further connections are retried after a second

    def __init__(self, behave: Behave) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave = behave
        self.asked: list[str] = []
        self.stopping = Event()
        self.headers: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/range/"

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a client that has disconnected; some tests do that."""


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.headers.append(dict(self.headers))
        self.server.behave(self)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""


@contextmanager
def breach_service(behave: Behave) -> Iterator[Service]:
    service = Service(behave)
    thread = Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield service
    finally:
        service.stopping.set()
        service.shutdown()
        thread.join()
        service.server_close()


def digest_of(password: str) -> str:
    return hashlib.sha1(password.encode()).hexdigest().upper()


def knowing(*passwords: str, times: int = 3, end: str = "\r\n") -> Behave:
    """Respond as the real service does, with suffixes, their counts, and padding."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        prefix = handler.path.rpartition("/")[2]
        lines = [f"{PADDING}{digit}:0" for digit in range(5)] + [
            f"{digest_of(password)[5:]}:{times}"
            for password in passwords
            if digest_of(password).startswith(prefix)
        ]
        send(handler, end.join(lines).encode())

    return behave


def saying(body: bytes, status: int = 200, *, declared: int | None = None) -> Behave:
    return lambda handler: send(handler, body, status, declared=declared)


def silent(handler: BaseHTTPRequestHandler) -> None:
    """Send no response until the test ends."""
    server = handler.server
    assert isinstance(server, Service)
    server.stopping.wait()


def dripping(handler: BaseHTTPRequestHandler) -> None:
    """Send a line every 30 ms, without an end, until the test ends."""
    server = handler.server
    assert isinstance(server, Service)
    handler.send_response(200)
    handler.end_headers()
    while not server.stopping.wait(0.03):
        handler.wfile.write(f"{PADDING}0:0\r\n".encode())


def hanging_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def send(
    handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, declared: int | None = None
) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if declared is None else declared))
    handler.end_headers()
    handler.wfile.write(body)
