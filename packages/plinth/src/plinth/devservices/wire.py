"""The parts of the PostgreSQL and Redis protocols that a health check needs.

A client program for each check would take longer than the rest of a start.
"""

import socket
import struct
from pathlib import Path

SECONDS = 10
PROTOCOL_3 = 196608
HEADER = struct.Struct("!cI")  # of a message: type, and length without the type


def ask_postgres(path: Path, user: str, database: str, statement: str = "") -> str | None:
    """Connect, and run the statement if it is not empty.

    Returns:
        The SQLSTATE of the error, "00000" on success, None if the server does not respond.
    """
    names = f"user\0{user}\0database\0{database}\0\0".encode()
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(SECONDS)
            channel.connect(str(path))
            channel.sendall(struct.pack("!II", len(names) + 8, PROTOCOL_3) + names)
            with channel.makefile("rb") as replies:
                while len(header := replies.read(HEADER.size)) == HEADER.size:
                    kind, length = HEADER.unpack(header)
                    body = replies.read(length - 4)
                    if kind == b"E":
                        return find_sqlstate(body)
                    if kind == b"Z" and not statement:
                        channel.sendall(HEADER.pack(b"X", 4))
                        return "00000"
                    if kind == b"Z":
                        query = statement.encode() + b"\0"
                        channel.sendall(HEADER.pack(b"Q", len(query) + 4) + query)
                        statement = ""
    except OSError:
        pass
    return None


def find_sqlstate(error: bytes) -> str:
    fields = {field[:1]: field[1:] for field in error.split(b"\0")}
    return fields.get(b"C", b"").decode()


def ping_valkey(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(SECONDS)
            channel.connect(str(path))
            channel.sendall(b"PING\r\n")
            return channel.recv(64).startswith(b"+PONG")
    except OSError:
        return False
