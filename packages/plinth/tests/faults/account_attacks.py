"""Attacks of hostile account owners for `attackers.py`, each on its own connection."""

import json
import socket
import time
from http.client import HTTPConnection
from typing import Any

PASSWORD = "Correct-Horse-7"
OF_MANY_SESSIONS, OF_FEW_SESSIONS = "whale@example.com", "minnow@example.com"
CHANGING = "changing@example.com"
PARALLEL_CHANGES = 5  # of each session
SESSIONS_LISTED_FOR = 1  # second, between two attempts to end all sessions
CHANGE = {"password": PASSWORD, "current_password": PASSWORD}


class Account:
    def __init__(self, client: socket.socket, email: str) -> None:
        self._connection = HTTPConnection("here")
        self._connection.sock = client
        self._email = email
        self._token = ""

    def sign_in(self) -> None:
        """Retry until it succeeds: other attackers change the password and end the sessions."""
        credentials = {"email": self._email, "password": PASSWORD}
        while (answer := self.ask("POST", "/auth/login", credentials)) is None:
            time.sleep(0.1)
        self._token = answer["access_token"]

    def ask(self, method: str, path: str, document: Any = None) -> Any:
        """Return the JSON of the response, or None for an error."""
        self.send(method, path, document)
        response = self._connection.getresponse()
        answer = response.read()
        return json.loads(answer or "{}") if response.status < 300 else None

    def send(self, method: str, path: str, document: Any = None) -> None:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        body = None if document is None else json.dumps(document)
        self._connection.request(method, f"/api/v1{path}", body, headers)

    def lend_session(self, client: socket.socket) -> "Account":
        """Return the same session on another connection."""
        other = Account(client, self._email)
        other._token = self._token
        return other

    def read(self) -> None:
        self._connection.getresponse().read()


def end_sessions_of_many(client: socket.socket) -> None:
    _end_sessions(Account(client, OF_MANY_SESSIONS))


def end_sessions_of_few(client: socket.socket) -> None:
    _end_sessions(Account(client, OF_FEW_SESSIONS))


def change_password_in_parallel(client: socket.socket) -> None:
    """Change the password from one session on several connections at once."""
    account = Account(client, CHANGING)
    place = client.getpeername()
    others = [socket.create_connection(place, 60) for _ in range(PARALLEL_CHANGES)]
    while True:
        account.sign_in()
        lent = [account.lend_session(it) for it in others]
        for it in lent:
            it.send("PATCH", "/users/me", CHANGE)
        for it in lent:
            it.read()


def _end_sessions(account: Account) -> None:
    while True:
        account.sign_in()
        for path, method, document in (
            ("/users/me", "PATCH", CHANGE),
            ("/auth/logout-all", "POST", None),
        ):
            until = time.monotonic() + SESSIONS_LISTED_FOR
            while time.monotonic() < until:
                if account.ask("GET", "/users/me/sessions?limit=100") is None:
                    account.sign_in()
            account.ask(method, path, document)
