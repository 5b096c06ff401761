from dataclasses import dataclass

from bench.targets import BARE, CONSTANT, GUIDE, OURS, PREPARED, STUCK, TWO_WORKERS


@dataclass(frozen=True, slots=True)
class Plan:
    """
    Attributes:
        rounds: with the first size; two are enough with the others, and one for what no promise is
            about.
        sizes: how many users; all of the work with the first, searches and lists with the others.
        few: who is measured with those others, and with the connections in `Work.wide`.
        close: who is in all rounds, since a bound is near; the others are in the first two.
        stuck: who may come to a standstill, and is measured alone at the end.
        names: who takes part; empty for all.
        skips: work that is left out.
        generates: measure a resource that `plinth new` writes, too.
        starts: how often our start-up is timed.
    """

    rounds: int
    seconds: int
    sizes: tuple[int, ...]
    few: tuple[str, ...]
    installs_peers: bool
    generates: bool
    starts: int
    stuck: str = STUCK
    close: tuple[str, ...] = (OURS, BARE, PREPARED, CONSTANT, TWO_WORKERS, "Fastify")
    names: tuple[str, ...] = ()
    skips: tuple[str, ...] = ()

    def rounds_with(self, users: int, *, few: bool) -> int:
        most = self.rounds if users == self.sizes[0] else 2
        return 1 if few else min(self.rounds, most)

    def takes(self, name: str) -> bool:
        return not self.names or name in self.names


FULL = Plan(
    rounds=4,
    seconds=2,
    sizes=(100_000, 1_000_000),
    few=(OURS, BARE, PREPARED, GUIDE, "Fastify"),
    installs_peers=True,
    generates=True,
    starts=5,
)
QUICK = Plan(
    rounds=2,
    seconds=1,
    sizes=(100_000,),
    few=(OURS, BARE, PREPARED),
    installs_peers=False,
    generates=False,
    starts=3,
    names=(OURS, BARE, PREPARED, CONSTANT, GUIDE, "Fastify"),
    skips=("search alike", "search common", "search two letters", "list deep", "register"),
)
