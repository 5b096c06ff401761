"""Limits on the CPU time of a request, relative to a plain function that sends the same SQL.

A ratio of CPU times does not depend on the load of the machine, unlike rates and elapsed times. The
best round counts, so that cold caches do not matter.

`@access(queries=...)` and tests/test_contract.py limit the number of queries of a route.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import inf

import pytest

from bench.processes import processor_seconds
from bench.running import Running
from bench.seed import Person
from bench.stage import Stage
from bench.targets import BARE, OURS, Target
from bench.work import FINDING, READING, Work, read_me
from tests.budget.asking import ask
from tests.budget.keys import KEYS
from tests.support.measured import Measured

# Maximum ratios: twice the usual measurement, which `make test-budget` prints. Lower them if the
# measurement has become lower permanently.
BUDGETS = {"me": 2.2, "me by cookie": 2.2, "me by key": 2.2, "id": 2.8, "list first": 4.2}

ROUNDS = 3
CONNECTIONS = 16
TIMES = 1800  # each run takes some tenths of a second, because CPU time is counted in hundredths
ACCESS_COOKIE = "__Host-plinth_access"


def read_me_by_cookie(target: Target, people: Sequence[Person], users: int) -> Iterator[bytes]:
    """Send the token in a cookie to the application, and to the reference as it expects it."""
    for person, request in zip(people, read_me(target, people, users), strict=True):
        header = f"Cookie: theme=dark; {ACCESS_COOKIE}={person.access_token}"
        authorization = f"Authorization: {target.authorize(person)}"
        is_ours = target.name == OURS
        yield request.replace(authorization.encode(), header.encode()) if is_ours else request


def read_me_by_key(target: Target, people: Sequence[Person], users: int) -> Iterator[bytes]:
    """Send an API key to the application, and the token to the reference."""
    for person, request in zip(people, read_me(target, people, users), strict=True):
        header = f"X-API-Key: {KEYS[person.id]}"
        authorization = f"Authorization: {target.authorize(person)}"
        is_ours = target.name == OURS
        yield request.replace(authorization.encode(), header.encode()) if is_ours else request


BY_COOKIE = Work("me by cookie", read_me_by_cookie, (CONNECTIONS,))
BY_KEY = Work("me by key", read_me_by_key, (CONNECTIONS,))
WORKS = {work.name: work for work in (*READING, *FINDING, BY_COOKIE, BY_KEY)}


@pytest.mark.parametrize("name", BUDGETS)
def test_a_request_stays_within_its_budget(
    name: str, servers: Mapping[str, Running], stage: Stage, measured: Measured
) -> None:
    best = dict.fromkeys(servers, inf)
    for _ in range(ROUNDS):
        for target, server in servers.items():
            best[target] = min(best[target], cost_of(WORKS[name], server, stage))
    ratio = best[OURS] / best[BARE]
    figures = f"{ratio:.1f} times the bare function's ({best[OURS]:.0f} us by {best[BARE]:.0f})"
    measured(f"{name}: {figures}, and may be {BUDGETS[name]}")
    assert ratio <= BUDGETS[name], (
        f"{name} costs {figures}, and may cost {BUDGETS[name]} times: find what was added to each"
        " request, or, where it is worth that, say so and raise BUDGETS"
    )


def cost_of(work: Work, server: Running, stage: Stage) -> float:
    """Return the CPU time per response in microseconds."""
    requests = list(work.write(server.target, stage.people, stage.users))
    before = processor_seconds(server.pid)
    ask(server.url, requests, times=TIMES, connections=CONNECTIONS)
    return (processor_seconds(server.pid) - before) / TIMES * 1e6
