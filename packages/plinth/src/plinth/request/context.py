"""The context of the current request: id, client, user, session.

A context variable holds it, so that log lines and audit rows need no arguments for it. Values that
a function bases a decision on are still passed as arguments.
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
# Request ids that are accepted from clients: none that could break a log line or a header.
SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")
NO_ROUTE = "unmatched"
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
OTHER_METHOD = "OTHER"


@dataclass(slots=True)
class RequestInfo:
    """
    Attributes:
        conventions: authentication scheme and error format of the request.
        user_id: set after authentication, like `session_id`.
        acting_user_id: the superuser who impersonates the user, if any.
        api_key_id: the API key with which the user authenticated, if any; it has no session.
        organization_id: the organization of the path, set after its member authenticated.
        queries: number of its own statements, without queries shared with other requests.
        status: status of the response, set when it starts.
        sent_at: time of the last message of the response, by `perf_counter`.
    """

    id: str
    client: Client
    conventions: Conventions = DEFAULT
    user_id: int | None = None
    session_id: UUID | None = None
    acting_user_id: int | None = None
    api_key_id: UUID | None = None
    organization_id: int | None = None
    template: str | None = None
    find_route: Callable[[], str | None] | None = None
    queries: int = 0
    query_seconds: float = 0.0
    trace_id: str | None = None
    status: int | None = None
    sent_at: float | None = None

    @property
    def route(self) -> str:
        """The declared path, `/users/{user_id}`, never the path that the client sent."""
        return self.template or (self.find_route() if self.find_route else None) or NO_ROUTE


_current: ContextVar[RequestInfo | None] = ContextVar("request", default=None)


def begin_request(sent_id: str | None, client: Client) -> RequestInfo:
    """Set the context of a new request, with the client's request id if it is valid."""
    request_id = sent_id if sent_id and SANE.fullmatch(sent_id) else _make_id()
    info = RequestInfo(request_id, client)
    _current.set(info)
    return info


def _make_id() -> str:
    return f"{getrandbits(128):032x}"  # unique, not secret


def name_method(scope: Scope) -> str:
    """Return the method, or `OTHER` for an unknown one: metrics need a bounded set of labels."""
    method: str = scope["method"]
    return method if method in METHODS else OTHER_METHOD


def current_request() -> RequestInfo | None:
    """Return the current request; None on the command line and in a worker."""
    return _current.get()
