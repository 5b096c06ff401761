"""Limits of the benchmark (docs/explanation/performance.md), and the verdicts of a run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from bench.figures import Figures, Numbers, compare, show
from bench.plan import FULL
from bench.rounds import QUIET, RAW, RAW_CFFI, Result
from bench.targets import BARE, CONSTANT, GUIDE, PREPARED, TWO_WORKERS

Verdict = Literal["met", "not met", "not measured", "no room", "to compare"]
BESIDE = "me beside login"


@dataclass(frozen=True, slots=True)
class Promise:
    """
    Attributes:
        bound: the limit; None for a value that is only compared.
        see: returns the values of the rounds; empty if it was not measured.
        is_floor: whether the bound is the minimum, not the maximum.
        note: returns a remark for the report.
        room: returns the best value that this machine can reach.
    """

    what: str
    bound: float | None
    see: Callable[[Figures], Numbers]
    is_floor: bool = True
    unit: str = ""
    note: Callable[[Figures], str] = lambda _: ""
    room: Callable[[Figures], float | None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Judged:
    what: str
    bound: str
    seen: str
    verdict: Verdict
    note: str


def judge(figures: Figures) -> list[Judged]:
    return [_judge(promise, figures) for promise in PROMISES]


def _judge(promise: Promise, figures: Figures) -> Judged:
    seen = promise.see(figures)
    return Judged(
        promise.what,
        _show_bound(promise),
        f"{show(seen)}{promise.unit}" if seen else "",
        _decide(promise, seen, promise.room(figures)),
        promise.note(figures) if seen else "",
    )


def _decide(promise: Promise, seen: Numbers, room: float | None) -> Verdict:
    if not seen:
        return "not measured"
    if promise.bound is None:
        return "to compare"
    if _is_kept(promise, median(seen)):
        return "met"
    return "not met" if room is None or _is_kept(promise, room) else "no room"


def _is_kept(promise: Promise, figure: float) -> bool:
    assert promise.bound is not None
    return figure >= promise.bound if promise.is_floor else figure <= promise.bound


def _show_bound(promise: Promise) -> str:
    if promise.bound is None:
        return ""
    return f"{'at least' if promise.is_floor else 'at most'} {promise.bound:g}{promise.unit}"


def _times(
    work: str, connections: int, target: str, bound: float | None, users: int | None = None
) -> Promise:
    """Require a minimum for our rate divided by the rate of the target."""
    among = f" among {users:,} users" if users else ""
    return Promise(
        f"{work}, {connections}{among}: by {target}",
        bound,
        lambda figures: figures.ratios(work, connections, target, users),
    )


def _invoice_by_note(figures: Figures) -> Numbers:
    return compare(figures.runs("an invoice", 16), figures.runs("a note", 16))


def _lost(figures: Figures) -> Numbers:
    return [run.refused + run.lost for run in figures.runs("me", 256)]


def _by_64(figures: Figures) -> Numbers:
    at_64 = {run.round: run.rate for run in figures.runs("me", 64)}
    return [run.rate / at_64[run.round] for run in figures.runs("me", 256) if run.round in at_64]


def _spread(figures: Figures) -> Numbers:
    return _find_spread(figures.runs("me", 64))


def _room_for_spread(figures: Figures) -> float | None:
    """Return the spread of a constant response."""
    found = _find_spread(figures.runs("constant", 64, CONSTANT))
    return median(found) if found else None


def _note_spread(figures: Figures) -> str:
    room = _room_for_spread(figures)
    return f"{room:.1f} of a constant answer" if room else ""


def _find_spread(runs: Sequence[Result]) -> Numbers:
    return [run.p99 / run.p50 for run in runs if run.p50]


def _beside_login(figures: Figures) -> Numbers:
    quiet = {run.round: run.p99 for run in figures.runs(BESIDE + QUIET, 4)}
    return [run.p99 / quiet[run.round] for run in figures.runs(BESIDE, 4) if quiet.get(run.round)]


def _note_login(figures: Figures) -> str:
    quiet, beside = (
        median(run.p99 for run in figures.runs(work, 4)) for work in (BESIDE + QUIET, BESIDE)
    )
    return f"p99 {quiet:.1f} ms quiet, {beside:.1f} ms beside it"


def _two_workers(figures: Figures) -> Numbers:
    return [1 / ratio for ratio in figures.ratios("me", 64, TWO_WORKERS) if ratio]


def _room_for_two(figures: Figures) -> float | None:
    """Return the maximum rate of two workers divided by the rate of one.

    The maximum assumes that all cores run only the workers, PostgreSQL and the client.
    """
    one, two = figures.runs("me", 64), figures.runs("me", 64, TWO_WORKERS)
    if not one or not two:
        return None
    each = median(run.server_us + run.postgres_us + run.client_us for run in two)
    return figures.cores * 1e6 / each / median(run.rate for run in one) if each else None


def _note_room(figures: Figures) -> str:
    two = figures.runs("me", 64, TWO_WORKERS)
    server, postgres, client = (
        median(getattr(run, name) for run in two)
        for name in ("server_us", "postgres_us", "client_us")
    )
    room = _room_for_two(figures)
    assert room
    return (
        f"bound by {figures.cores} cores: an answer takes {server:.0f} us of the workers,"
        f" {postgres:.0f} of PostgreSQL and {client:.0f} of the load, so {room:.2f} at the most"
    )


def _weighs(name: str) -> Callable[[Figures], Numbers]:
    return lambda figures: [weight[name] for weight in figures.weights()]


def _note_memory(figures: Figures) -> str:
    return f"after the load; {median(_weighs('idle_mib')(figures)):.0f} before it"


PROMISES = (
    _times("me", 64, BARE, 1.1),
    _times("me", 64, "Fastify", 1.1),
    _times("me", 64, PREPARED, None),
    _times("me", 64, "fastapi-users", 12),
    _times("me", 64, GUIDE, 12),
    _times("me", 1, BARE, 0.8),
    _times("me", 1, PREPARED, None),
    Promise("me, 256: refused or lost", 0, _lost, is_floor=False),
    Promise("me, 256: by its figure at 64", 1, _by_64),
    Promise(
        "me, 256: p99",
        100,
        lambda figures: [run.p99 for run in figures.runs("me", 256)],
        is_floor=False,
        unit=" ms",
    ),
    Promise(
        "me, 64: p99 by p50",
        3,
        _spread,
        is_floor=False,
        note=_note_spread,
        room=_room_for_spread,
    ),
    _times("id", 64, BARE, 1.1),
    _times("id", 64, "Fastify", 1.1),
    _times("id", 64, PREPARED, None),
    _times("id", 64, GUIDE, 12),
    *(
        _times(work, 16, target, bound, users)
        for work, of_guide in (("search rare", 100), ("list first", 10), ("list by key", 10))
        for users in FULL.sizes
        for target, bound in ((GUIDE, of_guide), (BARE, 0.6))
    ),
    _times("login", 16, RAW, 0.95),
    _times("login", 16, RAW_CFFI, None),
    Promise(
        "me beside login: p99 by its quiet p99", 2, _beside_login, is_floor=False, note=_note_login
    ),
    _times("refresh", 16, BARE, 0.7),
    _times("create a note", 16, BARE, None),
    _times("a note", 16, BARE, None),
    Promise("an invoice of an organization, 16: by a note", 0.5, _invoice_by_note),
    Promise(
        "memory of a worker",
        120,
        _weighs("loaded_mib"),
        is_floor=False,
        unit=" MiB",
        note=_note_memory,
    ),
    Promise(
        "start-up to the first 200", 1, lambda figures: figures.starts, is_floor=False, unit=" s"
    ),
    Promise("me, 64: two workers by one", 1.7, _two_workers, note=_note_room, room=_room_for_two),
)
