"""What is known of the request in work: its id, where it comes from, and who asks.

It is known wherever the request's own task runs, so that a log line or an audit row need not be
handed it through every function. What a verb decides by, it is given as an argument all the same.
"""

import re
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from random import getrandbits
from uuid import UUID

from starlette.types import Scope

from plinth.request.client import Client
from plinth.request.conventions import DEFAULT, Conventions

HEADER = b"x-request-id"
# What a caller may choose: nothing that could break a log line or a header.
SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")
NO_ROUTE = "unmatched"
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
OTHER_METHOD = "OTHER"


@dataclass(slots=True)
class RequestInfo:
    """
    Attributes:
        user_id: who asks, once that is known; likewise the session.
        route: the path as it is declared, `/users/{user_id}`; never what the client wrote.
        queries: what this request sent to the database; what it shares with others is not in it.
        conventions: how this request is authenticated and its errors are answered.
        status: of the answer, once it has begun; likewise when its last piece was sent.
    """

    id: str
    client: Client
    conventions: Conventions = DEFAULT
    user_id: int | None = None
    session_id: UUID | None = None
    template: str | None = None
    find_route: Callable[[], str | None] | None = None
    queries: int = 0
    query_seconds: float = 0.0
    trace_id: str | None = None
    status: int | None = None
    sent_at: float | None = None

    @property
    def route(self) -> str:
        return self.template or (self.find_route() if self.find_route else None) or NO_ROUTE


_current: ContextVar[RequestInfo | None] = ContextVar("request", default=None)


def begin_request(asked_id: str | None, client: Client) -> RequestInfo:
    """Take the caller's id when it is sane, else make one."""
    request_id = asked_id if asked_id and SANE.fullmatch(asked_id) else _make_id()
    info = RequestInfo(request_id, client)
    _current.set(info)
    return info


def _make_id() -> str:
    return f"{getrandbits(128):032x}"  # it has to differ, and not to be a secret


def name_method(scope: Scope) -> str:
    """One of those that there are: a client may send any word."""
    method: str = scope["method"]
    return method if method in METHODS else OTHER_METHOD


def current_request() -> RequestInfo | None:
    """None outside of a request: on the command line, in a worker."""
    return _current.get()
