"""The few words of the two protocols by which one sees that a server serves.

Spoken here because a client program for each question would cost more than the rest of a start.
"""

import socket
import struct
from pathlib import Path

SECONDS = 10
PROTOCOL_3 = 196608
HEADER = struct.Struct("!cI")  # of a message: its kind, and its length without the kind


def ask_postgres(path: Path, user: str, database: str, statement: str = "") -> str | None:
    """Connect, and run the statement if there is one.

    Returns:
        The SQLSTATE of what went wrong, "00000" when nothing did, None where nobody answers.
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
