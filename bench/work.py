"""What is asked for: the requests of each kind of work, and by how many connections."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from uuid import uuid4

from bench.load import write_request
from bench.seed import COMMON, PASSWORD, RARE, SHORT, Person
from bench.targets import ME, Target

USERS = "/api/v1/users/"
REGISTRATIONS = 2000  # more than can be hashed in a run
STRIDE = 7919  # a prime, so that the ids asked for are spread over all

Requests = Iterator[bytes]
Write = Callable[[Target, Sequence[Person], int], Requests]


@dataclass(frozen=True, slots=True)
class Work:
    """
    Attributes:
        write: its requests, for a target, those who are signed in, and how many users there are.
        wide: by how many connections, for the few that are held against it most.
        mode: of the script that sends them.
    """

    name: str
    write: Write
    connections: tuple[int, ...]
    wide: tuple[int, ...] = ()
    mode: str = "in turn"


def read_me(target: Target, people: Sequence[Person], _: int) -> Requests:
    return (write_request("GET", ME, target.authorize(person)) for person in people)


def read_by_id(target: Target, people: Sequence[Person], users: int) -> Requests:
    ids = (number * STRIDE % users + 1 for number in count())
    for person, number in zip(people, ids, strict=False):
        yield write_request("GET", f"{USERS}{number}", target.authorize(person))


def search(text: str) -> Write:
    def write(target: Target, people: Sequence[Person], _: int) -> Requests:
        path = f"{USERS}search?q={text}&limit=20"
        return (write_request("GET", path, target.authorize(person)) for person in people)

    return write


def list_page(part: float) -> Write:
    """The page that begins after this part of all."""

    def write(target: Target, people: Sequence[Person], users: int) -> Requests:
        path = f"{USERS}?skip={int(users * part)}&limit=20"
        return (write_request("GET", path, target.authorize(person)) for person in people)

    return write


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
    """Each token is used once; what the answer brings comes after it (see the script)."""
    for person in people:
        body = {"refresh_token": person.refresh_token}
        yield write_request("POST", "/api/v1/auth/refresh", target.authorize(person), body)


READING = (
    Work("me", read_me, connections=(16, 64), wide=(1, 256)),
    Work("id", read_by_id, connections=(64,)),
)
FINDING = (
    Work("search rare", search(RARE), connections=(16,)),
    Work("search common", search(COMMON), connections=(16,)),
    Work("search two letters", search(SHORT), connections=(16,)),
    Work("list first", list_page(0), connections=(16,)),
    Work("list deep", list_page(0.9), connections=(16,)),
)
WRITING = (
    Work("refresh", refresh, connections=(16,), mode="refresh"),
    Work("login", sign_in, connections=(16,)),
    Work("register", register, connections=(16,)),
)
CONSTANT = Work("constant", read_constant, connections=(64,))
