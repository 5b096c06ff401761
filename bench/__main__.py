"""`make bench`: this backend beside the references and its peers, all on one machine at one time.

    python -m bench [--quick] [--output FOLDER]

Short runs of wrk take turns, so that the machine's drift is on every side; what is told are ratios
within one round, with the smallest and the largest. It needs wrk; the peers are left out where they
cannot be installed.
"""

import os
import secrets

# Before anything of app is imported: settings are read at import, and the tokens are made here.
SECRET = os.environ["SECRET_KEY"] = secrets.token_urlsafe(48)

import argparse
import asyncio
import json
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from app.core import embedded
from app.core.config import settings
from bench import load, report, seed, targets
from bench.plan import FULL, QUICK, Plan
from bench.rounds import Bench, Result, Stage
from bench.targets import Target
from bench.work import CONSTANT, FINDING, READING, WRITING, Work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under two minutes, fewer of all")
    parser.add_argument("--output", type=Path, default=settings.DATA_DIR / "bench" / "results")
    given = parser.parse_args()
    load.require_wrk()
    began = time.monotonic()
    results, facts = measure(QUICK if given.quick else FULL)
    facts |= {
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "minutes": round((time.monotonic() - began) / 60, 1),
    }
    given.output.mkdir(parents=True, exist_ok=True)
    told = {"facts": facts, "results": [result.as_dict() for result in results]}
    (given.output / "results.json").write_text(json.dumps(told, indent=1))
    report.write(results, facts, given.output)


def measure(plan: Plan) -> tuple[list[Result], dict[str, object]]:
    folder = settings.DATA_DIR.absolute() / "bench"
    facts: dict[str, object] = {}
    results: list[Result] = []
    with cluster(folder) as (server_url, redis_url, postmaster):
        found = targets.find_targets(SECRET, folder, peers=plan.installs_peers)
        takes_part = [target for target in found if plan.takes(target.name)]
        for users in plan.sizes:
            print(f"{users:,} users ...", flush=True)
            url = asyncio.run(seed.make_database(server_url, f"bench_{users}"))
            people = asyncio.run(seed.seed(url, users))
            stage = Stage(plan, people, users, url, postmaster, folder)
            environment = {
                "DATABASE_URL": url,
                "REDIS_URL": redis_url,
                "SECRET_KEY": SECRET,
                "DATA_DIR": str(folder / "server"),
                "CACHE_PREFIX": f"bench_{users}",
            }
            if users == plan.sizes[0]:
                works: Sequence[Work] = (CONSTANT, *READING, *FINDING, *WRITING)
            else:
                works = FINDING
                takes_part = [target for target in takes_part if target.name in plan.few]
            more, weights = measure_stage(stage, takes_part, environment, works)
            results += more
            facts[f"processes, {users:,} users"] = weights
    return results, facts


def measure_stage(
    stage: Stage, takes_part: Sequence[Target], environment: dict[str, str], works: Sequence[Work]
) -> tuple[list[Result], object]:
    results: list[Result] = []
    stuck = [target for target in takes_part if target.name == stage.plan.stuck]
    with ExitStack() as stack:
        alive = [
            stack.enter_context(targets.running(it, environment, stage.people[0], stage.folder))
            for it in takes_part
            if it not in stuck
        ]
        bench = Bench(alive, stage)
        for work in works:
            results += bench.do(work)
        weights = bench.weigh()
    for target in stuck:
        with targets.running(target, environment, stage.people[0], stage.folder) as one:
            results += Bench([one], stage).do(READING[0], connections=(64,), rounds=1)
    return results, weights


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, str, int]]:
    """The servers below it all; as durable as in production."""
    data = folder / "services"
    with embedded.services(data) as endpoints:
        assert endpoints.database_url
        assert endpoints.redis_url
        pid = int((data / "postgres" / "postmaster.pid").read_text().split()[0])
        assert urlsplit(endpoints.database_url).scheme == "postgresql"
        yield endpoints.database_url, endpoints.redis_url, pid


if __name__ == "__main__":
    main()
