from dataclasses import dataclass

from bench.targets import BARE, CONSTANT, GUIDE, OURS, PREPARED, STUCK, TWO_WORKERS
from bench.work import Work


@dataclass(frozen=True, slots=True)
class Plan:
    """
    Attributes:
        rounds: with the first size; one for what no promise is about. Many and short, since this
            machine may be twice as fast in the next second: whom a bound is near stand next to each
            other, and what lies in the middle of many is right where one is not.
        seconds: of a run.
        few_rounds, long_seconds: of what takes long, and of the other sizes the rounds.
        sizes: how many users; all of the work with the first, searches and lists with the others.
        few: who is measured with those others, and with the connections in `Work.wide`.
        close: who is in all rounds, since a bound is near; the others are in the first two, whose
            runs are long.
        stuck: who may come to a standstill, and is measured alone at the end.
        names: who takes part; empty for all.
        skips: work that is left out.
        generates: measure a resource that `plinth new` writes, too.
        starts: how often our start-up is timed.
    """

    rounds: int
    seconds: int
    few_rounds: int
    long_seconds: int
    sizes: tuple[int, ...]
    few: tuple[str, ...]
    installs_peers: bool
    generates: bool
    starts: int
    stuck: str = STUCK
    close: tuple[str, ...] = (OURS, BARE, PREPARED, CONSTANT, TWO_WORKERS, "Fastify")
    names: tuple[str, ...] = ()
    skips: tuple[str, ...] = ()

    def rounds_of(self, work: Work, users: int) -> int:
        if work.few:
            return 1
        return self.few_rounds if work.is_long or users != self.sizes[0] else self.rounds

    def seconds_of(self, work: Work, name: str) -> int:
        is_long = work.few or work.is_long or name not in self.close
        return self.long_seconds if is_long else self.seconds

    def takes(self, name: str) -> bool:
        return not self.names or name in self.names


FULL = Plan(
    rounds=7,
    seconds=1,
    few_rounds=4,
    long_seconds=2,
    sizes=(100_000, 1_000_000),
    few=(OURS, BARE, PREPARED, GUIDE, "Fastify"),
    installs_peers=True,
    generates=True,
    starts=5,
)
QUICK = Plan(
    rounds=2,
    seconds=1,
    few_rounds=2,
    long_seconds=1,
    sizes=(100_000,),
    few=(OURS, BARE, PREPARED),
    installs_peers=False,
    generates=False,
    starts=3,
    names=(OURS, BARE, PREPARED, CONSTANT, GUIDE, "Fastify"),
    skips=("search similar", "search common", "search two letters", "list deep", "register"),
)
