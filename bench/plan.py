from dataclasses import dataclass

from bench.targets import BARE, CONSTANT, GUIDE, OURS, PREPARED, STUCK, TWO_WORKERS
from bench.work import Work


@dataclass(frozen=True, slots=True)
class Plan:
    """
    Attributes:
        rounds: number of rounds with the first size. They are many and short, because the speed of
            the machine may double within a second, and the median of many rounds is reliable. Work
            without a limit has one round.
        seconds: duration of a run.
        few_rounds: number of rounds of slow work, and of the other sizes.
        long_seconds: duration of a run of slow work, and of targets that are not in `close`.
        sizes: numbers of users. All work runs with the first; searches and lists with all.
        few: targets for the other sizes, and for the connections in `Work.wide`.
        close: targets that are near a limit and run in all rounds. The others run in the first two.
        stuck: a target that may stop responding; it runs alone at the end.
        names: the targets; empty for all.
        skips: names of work to skip.
        generates: whether to measure a resource of `plinth new` as well.
        starts: number of measured starts of our server.
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
