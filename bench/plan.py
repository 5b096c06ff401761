from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """
    Attributes:
        rounds: with the first size; two are enough with the others.
        sizes: how many users; all of the work with the first, searches and lists with the others.
        few: who is measured with those others, and with the connections in `Work.wide`.
        stuck: who may come to a standstill, and is measured alone at the end.
        names: who takes part; empty for all.
        skips: work that is left out.
    """

    rounds: int
    seconds: int
    sizes: tuple[int, ...]
    few: tuple[str, ...]
    installs_peers: bool
    stuck: str = "guide, pool of 5"
    names: tuple[str, ...] = ()
    skips: tuple[str, ...] = ()

    def rounds_with(self, users: int) -> int:
        return self.rounds if users == self.sizes[0] else min(self.rounds, 2)

    def takes(self, name: str) -> bool:
        return not self.names or name in self.names


FULL = Plan(
    rounds=3,
    seconds=2,
    sizes=(100_000, 1_000_000),
    few=("plinth", "bare asyncpg", "guide, pool of 40", "Fastify"),
    installs_peers=True,
)
QUICK = Plan(
    rounds=2,
    seconds=1,
    sizes=(100_000,),
    few=("plinth", "bare asyncpg"),
    installs_peers=False,
    names=("plinth", "bare asyncpg", "constant", "guide, pool of 40", "Fastify"),
    skips=("search common", "search two letters", "list deep", "register"),
)
