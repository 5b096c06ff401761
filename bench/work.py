"""The requests and the numbers of connections of each kind of work."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from uuid import uuid4

from bench.load import write_request
from bench.seed import ALIKE, COMMON, PASSWORD, SHORT, Person, find_edge, find_family
from bench.targets import ME, Target

USERS, NOTES = "/api/v1/users/", "/api/v1/notes/"
ORGANIZATIONS = 100
REGISTRATIONS = 2000  # more than a run can hash
DEEP = 0.9  # part of all rows before a deep page
STRIDE = 7919  # a prime, so that the requested ids are spread over all users

Requests = Iterator[bytes]
Write = Callable[[Target, Sequence[Person], int], Requests]


@dataclass(frozen=True, slots=True)
class Work:
    """
    Attributes:
        write: returns the requests for a target, its signed-in users, and the number of users.
        wide: further numbers of connections, only for the targets in `Plan.few`.
        mode: the mode of lua/requests.lua.
        is_long: whether a response takes long, so that runs must be longer.
        few: whether it has no limit: only the targets in `Plan.few` run it, in one round.
        beside: work in the background; a run without it precedes each run with it.
    """

    name: str
    write: Write
    connections: tuple[int, ...]
    wide: tuple[int, ...] = ()
    mode: str = "in turn"
    is_long: bool = False
    few: bool = False
    beside: "Work | None" = None


def read_me(target: Target, people: Sequence[Person], _: int) -> Requests:
    return (write_request("GET", ME, target.authorize(person)) for person in people)


def read_by_id(target: Target, people: Sequence[Person], users: int) -> Requests:
    ids = (number * STRIDE % users + 1 for number in count())
    for person, number in zip(people, ids, strict=False):
        yield write_request("GET", f"{USERS}{number}", target.authorize(person))


def search(find_text: Callable[[Person, int], str]) -> Write:
    def write(target: Target, people: Sequence[Person], users: int) -> Requests:
        for person in people:
            path = f"{USERS}search?q={find_text(person, users)}&limit=20"
            yield write_request("GET", path, target.authorize(person))

    return write


def search_for(text: str) -> Write:
    return search(lambda _, __: text)


def list_page(part: float) -> Write:
    """Return requests for the page after this part of all rows."""

    def write(target: Target, people: Sequence[Person], users: int) -> Requests:
        path = f"{USERS}?skip={int(users * part)}&limit=20"
        return (write_request("GET", path, target.authorize(person)) for person in people)

    return write


def list_by_key(target: Target, people: Sequence[Person], users: int) -> Requests:
    """Return requests for deep pages, a different one per user, by key if the target can."""
    if target.page_after is None:
        yield from list_page(DEEP)(target, people, users)
        return
    for number, person in enumerate(people):
        edge = find_edge(users, DEEP + number / len(people) * (1 - DEEP) / 2)
        path = f"{USERS}?{target.page_after(*edge)}&limit=20"
        yield write_request("GET", path, target.authorize(person))


def read_constant(_: Target, __: Sequence[Person], ___: int) -> Requests:
    yield write_request("GET", "/constant")


def sign_in(_: Target, people: Sequence[Person], __: int) -> Requests:
    for person in people:
        body = {"email": person.email, "password": PASSWORD}
        yield write_request("POST", "/api/v1/auth/login", body=body)


def register(_: Target, __: Sequence[Person], ___: int) -> Requests:
    for _number in range(REGISTRATIONS):
        name = uuid4().hex
        body = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
        yield write_request("POST", "/api/v1/auth/register", body=body)


def refresh(target: Target, people: Sequence[Person], _: int) -> Requests:
    """Use each token once; lua/requests.lua appends a request for each new token."""
    for person in people:
        body = {"refresh_token": target.refresh_by(person)}
        yield write_request("POST", "/api/v1/auth/refresh", body=body)


def make_note(target: Target, people: Sequence[Person], _: int) -> Requests:
    body = {"title": "Groceries", "body": "Milk and bread", "priority": 1}
    return (write_request("POST", NOTES, target.authorize(person), body) for person in people)


def read_note(target: Target, people: Sequence[Person], _: int) -> Requests:
    """Read a note of the user."""
    for person in people:
        yield write_request("GET", f"{NOTES}{person.id}", target.authorize(person))


def read_invoice(target: Target, people: Sequence[Person], _: int) -> Requests:
    """Read an invoice of the user's organization; consecutive users have different ones."""
    for person in people:
        path = f"/api/v1/organizations/o{person.id % ORGANIZATIONS}/invoices/{person.id}"
        yield write_request("GET", path, target.authorize(person))


READING = (
    Work("me", read_me, connections=(64,), wide=(1, 16, 256)),
    Work("id", read_by_id, connections=(64,)),
)
FINDING = (
    Work(
        "search rare",
        search(lambda person, users: find_family(person.id, users)),
        connections=(16,),
    ),
    Work("search similar", search_for(ALIKE), connections=(16,), few=True),
    Work("search common", search_for(COMMON), connections=(16,), few=True),
    Work("search two letters", search_for(SHORT), connections=(16,), few=True),
    Work("list first", list_page(0), connections=(16,)),
    Work("list deep", list_page(DEEP), connections=(16,), few=True),
    Work("list by key", list_by_key, connections=(16,)),
)
LOGIN = Work("login", sign_in, connections=(16,), is_long=True)
WRITING = (
    Work("refresh", refresh, connections=(16,), mode="refresh"),
    LOGIN,
    Work("me beside login", read_me, connections=(4,), is_long=True, beside=LOGIN),
    Work("register", register, connections=(16,), few=True),
)
GENERATED = (
    Work("create a note", make_note, connections=(16,)),
    Work("a note", read_note, connections=(16,)),
    Work("an invoice", read_invoice, connections=(16,)),
)
CONSTANT = Work("constant", read_constant, connections=(64,))
