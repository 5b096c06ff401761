"""Hostile clients in a separate process: `python -m tests.faults.attackers PORT NAME`.

Several threads call the function of an attack repeatedly, each time with a new connection.
"""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tests.faults import account_attacks

CONNECTIONS = 4
HOLDERS = 800
SERVER_CORE = 0
PIPELINED = 4
MIB = 1024 * 1024
SILENCE = 60  # seconds
HOST = b"Host: here\r\n"
JSON = b"Content-Type: application/json\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
LOGIN = b"POST /api/v1/auth/login HTTP/1.1\r\n" + HOST + JSON
TOKEN = b"POST /api/v1/auth/token HTTP/1.1\r\n" + HOST
ADMIN = b"POST /admin/login HTTP/1.1\r\n" + HOST
ME = b"PATCH /api/v1/users/me HTTP/1.1\r\n" + HOST
HEALTH = b"GET /api/v1/health/live HTTP/1.1\r\n" + HOST
SEARCH = b"GET /api/v1/users/search?%b HTTP/1.1\r\n" + HOST
AUTHORIZED = b"Authorization: Bearer %b\r\n\r\n" % os.environ.get("TOKEN", "").encode()
CREDENTIALS = b'{"email": "nobody@example.com", "password": "Wrong-Horse-8"}'

Attack = Callable[[socket.socket], None]


def flood(begin: bytes, piece: bytes) -> Attack:
    """Send `begin`, then `piece` repeatedly until the server closes the connection."""

    def attack(client: socket.socket) -> None:
        client.sendall(begin)
        while True:
            client.sendall(piece)

    return attack


def ordinary(client: socket.socket) -> None:
    """Send pipelined requests of a signed-in user, so that the server is busy."""
    request = b"GET /api/v1/users/me HTTP/1.1\r\n" + AUTHORIZED
    client.sendall(request * PIPELINED)
    while True:
        read = _read(client).count(b"HTTP/1.1 ")
        client.sendall(request * read)


def ask(request: bytes) -> Attack:
    """Send the request and read the response, until the server closes the connection."""

    def attack(client: socket.socket) -> None:
        while True:
            client.sendall(request)
            _read(client)

    return attack


def with_body(head: bytes, body: bytes) -> Attack:
    return ask(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def hold(client: socket.socket) -> None:
    """Send a body without its last byte; many connections do this at once."""
    client.sendall(ME + JSON + b"Content-Length: %d\r\n\r\n" % MIB)
    with suppress(OSError):
        client.sendall(b" " * (MIB - 1))
        _read(client)
    time.sleep(1)  # the Retry-After of the refusal


def never_read(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    while True:
        client.sendall(HEALTH + b"\r\n")


def _cookie(value: bytes) -> bytes:
    return LOGIN + b'Cookie: plinth_device="%b"\r\n' % value


def _multipart(head: bytes, content_type: bytes, body: bytes) -> Attack:
    return with_body(head + b"Content-Type: multipart/form-data" + content_type + b"\r\n", body)


KEYS = b"{" + b",".join(b'"k%d":1' % number for number in range(90_000)) + b"}"
LISTS = b"[" + b"[]," * 300_000 + b"0]"
PART = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
ORDINARY: dict[str, Attack] = {
    "ordinary": ordinary,
    "ordinary pages of the admin": ask(b"GET /admin/login HTTP/1.1\r\n" + HOST + b"\r\n"),
    "an ordinary search": ask(SEARCH % b"q=a" + AUTHORIZED),
}
ATTACKS: dict[str, Attack] = {
    "trailer fields": flood(LOGIN + CHUNKED + b"0\r\n", b"X: y\r\n" * 20_000),
    "one endless trailer": flood(LOGIN + CHUNKED + b"0\r\nX: ", b"y" * 65536),
    "chunk extensions": flood(LOGIN + CHUNKED, b"1;" + b"y" * 65536 + b"\r\nx\r\n"),
    "chunks of one byte": flood(LOGIN + CHUNKED, b"1\r\nx\r\n" * 10_000),
    "headers": flood(b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 10_000),
    "heads behind a slow request": flood(
        LOGIN + b"Content-Length: %d\r\n\r\n" % len(CREDENTIALS) + CREDENTIALS,
        (HEALTH + b"\r\n") * 1000,
    ),
    "responses that are not read": never_read,
    "cookie of 48 kB": ask(_cookie(b"\\" * 48_000) + b"Content-Length: 0\r\n\r\n"),
    "cookie of backslashes": with_body(_cookie(b"\\" * 8000), b"{}"),
    "cookie of octal escapes": with_body(_cookie(b"\\101" * 2000), b"{}"),
    "cookie of quotes": with_body(_cookie(b'\\"' * 4000), b"{}"),
    "cookies by the thousand": with_body(LOGIN + b"Cookie: %b\r\n" % (b"a=1;" * 2000), b"{}"),
    "cookies by the hundred for the admin": ask(
        b"GET /admin/login HTTP/1.1\r\nCookie: %b\r\n\r\n" % (b"a=1;" * 199)
    ),
    "cookie for the admin": ask(
        b'GET /admin/login HTTP/1.1\r\nCookie: a="%b"\r\n\r\n' % (b"\\" * 8000)
    ),
    "form of %41": with_body(TOKEN + FORM, b"a=" + b"%41" * (MIB // 3)),
    "form of &&&&": with_body(TOKEN + FORM, b"&" * MIB),
    "small form of %41": with_body(TOKEN + FORM, b"a=" + b"%41" * 5000),
    "small form of &&&&": with_body(TOKEN + FORM, b"&" * 16_000),
    "small form of pairs": with_body(TOKEN + FORM, b"a=1&" * 4000),
    "small form for the admin": with_body(ADMIN + FORM, b"a=1&" * 4000),
    "multipart with a long content type": _multipart(TOKEN, b";a=b" * 15_000, b""),
    "multipart with parameters": _multipart(TOKEN, b";a=b" * 200 + b";boundary=x", b"--x--"),
    "multipart of parts": _multipart(TOKEN, b"; boundary=x", PART * 300 + b"--x--\r\n"),
    "multipart of headers": _multipart(
        ADMIN, b"; boundary=x", b"--x\r\n" + b"a: b\r\n" * 2500 + b"\r\n\r\n--x--\r\n"
    ),
    "JSON of many keys, broken": with_body(LOGIN, KEYS[:-1] + b","),
    "small JSON of many keys": with_body(LOGIN, KEYS[:16_000] + b"}"),
    "small JSON, nested": with_body(LOGIN, b"[" * 16_000),
    "JSON of many keys on a route that requires a user": with_body(ME + JSON, KEYS),
    "broken JSON on a route that requires a user": with_body(ME + JSON, KEYS[:-1] + b","),
    "nested JSON on a route that requires a user": with_body(ME + JSON, b"[" * MIB),
    "lists in JSON on a route that requires a user": with_body(
        ME + JSON, b"[" + b"[]," * 300_000 + b"0]"
    ),
    "JSON of 4 kB of keys": with_body(LOGIN, KEYS[:4000].rpartition(b",")[0] + b"}"),
    "a query of many pairs": ask(SEARCH % (b"a=1&" * 7500) + b"\r\n"),
    "a query of escapes": ask(SEARCH % (b"q=" + b"%41" * 10_000) + b"\r\n"),
    "a query of a user, as long as may be": ask(
        SEARCH % (b"q=a" + b"&b=1" * 250 + b"&c=" + b"%41" * 2300) + AUTHORIZED
    ),
    "a path of escapes": ask(b"GET /%b HTTP/1.1\r\n" % (b"%41" * 680) + HOST + b"\r\n"),
    "bodies that do not end": hold,
}
ORDINARY_OF = {
    "cookie for the admin": "ordinary pages of the admin",
    "cookies by the hundred for the admin": "ordinary pages of the admin",
    "small form for the admin": "ordinary pages of the admin",
    "a query of a user, as long as may be": "an ordinary search",
}
ACCOUNTS: dict[str, Attack] = {
    "ending few sessions": account_attacks.end_sessions_of_few,
    "ending many sessions": account_attacks.end_sessions_of_many,
    "changes of password": account_attacks.change_password_in_parallel,
}
MANY = {"bodies that do not end": HOLDERS, "changes of password": 24}


def main(port: int, name: str) -> None:
    try:
        os.nice(-10)  # other processes must not slow the attack down
    except PermissionError:
        os.nice(15)  # without real-time priority, the normal client would wait for this process
    os.sched_setaffinity(0, (os.sched_getaffinity(0) - {SERVER_CORE}) or {SERVER_CORE})
    attack = (ORDINARY | ATTACKS | ACCOUNTS)[name]
    for _ in range(MANY.get(name, CONNECTIONS)):
        threading.Thread(target=_go_on, args=[port, attack], daemon=True).start()
    sys.stdin.read()  # until the test ends


def _go_on(port: int, attack: Attack) -> None:
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), SILENCE) as client:
            attack(client)


def _read(client: socket.socket) -> bytes:
    data = client.recv(65536)
    if not data:
        raise ConnectionResetError
    return data


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
