"""Benchmark of this backend, references and other frameworks on one machine.

`make -C packages/plinth bench` runs it, or:

    python -m bench [--quick] [--output FOLDER]

Short runs of wrk alternate between the targets, so that changes of the machine's speed affect all
targets. The report has ratios within one round: the median, the smallest and the largest. It
requires wrk. Frameworks that cannot be installed are skipped.
"""

import os
import secrets

# Set before the imports: settings are read at import, and this process signs the tokens.
SECRET = os.environ["SECRET_KEY"] = secrets.token_urlsafe(48)

import argparse
import asyncio
import compileall
import json
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from bench import generated, load, report, seed, targets, verdicts
from bench.figures import Figures
from bench.plan import FULL, QUICK, Plan
from bench.pulse import feel_pulse
from bench.rounds import Bench, Result
from bench.running import running
from bench.stage import Stage
from bench.targets import Target
from bench.work import CONSTANT, FINDING, GENERATED, READING, WRITING, Work
from plinth import devservices as embedded
from plinth.config import settings

PULSE_SECONDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="run for less than two minutes")
    parser.add_argument("--output", type=Path, default=settings.DATA_DIR / "bench" / "results")
    given = parser.parse_args()
    load.require_wrk()
    began, load_before = time.monotonic(), round(os.getloadavg()[0], 1)
    pulse = [feel_pulse(PULSE_SECONDS)]
    results, facts = measure(QUICK if given.quick else FULL)
    pulse.append(feel_pulse(PULSE_SECONDS))
    facts |= {
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": load_before,
        "pulse": [round(times, 1) for times in pulse],
        "minutes": round((time.monotonic() - began) / 60, 1),
    }
    given.output.mkdir(parents=True, exist_ok=True)
    figures = Figures(results, facts)
    judged = verdicts.judge(figures)
    document = {
        "facts": facts,
        "verdicts": [asdict(it) for it in judged],
        "results": [result.as_dict() for result in results],
    }
    (given.output / "results.json").write_text(json.dumps(document, indent=1))
    report.write(figures, judged, given.output)


def measure(plan: Plan) -> tuple[list[Result], dict[str, object]]:
    folder = settings.DATA_DIR.absolute() / "bench"
    facts: dict[str, object] = {}
    results: list[Result] = []
    with cluster(folder) as (server_url, redis_url, postmaster):
        environment = {
            "REDIS_URL": redis_url,
            "SECRET_KEY": SECRET,
            "DATA_DIR": str(folder / "server"),
        }

        def set_up(users: int) -> Stage:
            print(f"{users:,} users ...", flush=True)
            url = asyncio.run(seed.make_database(server_url, f"bench_{users}"))
            people = asyncio.run(seed.seed(url, users))
            return Stage(plan, people, users, url, postmaster, folder, environment)

        found = targets.find_targets(SECRET, folder, peers=plan.installs_peers)
        # Before the other sizes: PostgreSQL's background work for many users would slow the starts.
        facts["starts"] = time_starts(set_up(seed.SIGNED_IN), found[0])
        for users in plan.sizes:
            stage = set_up(users)
            works: Sequence[Work] = FINDING
            takes_part = [it for it in found if it.name in plan.few and it.does & targets.FINDS]
            if users == plan.sizes[0]:
                works = (CONSTANT, *READING, *FINDING, *WRITING)
                takes_part = [it for it in found if plan.takes(it.name)]
            more, facts[f"processes, {users:,} users"] = measure_stage(stage, takes_part, works)
            results += more
        if plan.generates:
            print("a resource by `plinth new` ...", flush=True)
            made = generated.prepare(server_url, folder, environment)
            its = (made.people, generated.USERS, made.database_url)
            stage = Stage(plan, *its, postmaster, folder, environment)
            results += measure_stage(stage, made.targets, GENERATED)[0]
    return results, facts


def measure_stage(
    stage: Stage, takes_part: Sequence[Target], works: Sequence[Work]
) -> tuple[list[Result], object]:
    results: list[Result] = []
    stuck = [target for target in takes_part if target.name == stage.plan.stuck]
    with ExitStack() as stack:
        alive = [stack.enter_context(running(it, stage)) for it in takes_part if it not in stuck]
        bench = Bench(alive, stage)
        bench.warm(works)
        for work in works:
            results += bench.do(work)
        weights = bench.weigh()
    for target in stuck:
        with running(target, stage) as one:
            results += Bench([one], stage).do(READING[0], connections=(64,), rounds=1)
    return results, weights


def time_starts(stage: Stage, ours: Target) -> list[float]:
    """Return the seconds of each start, from the command to the first 200, on an idle machine."""
    for folder in ("app", "packages/plinth/src"):  # as in the image
        compileall.compile_dir(targets.ROOT / folder, quiet=1)
    times = []
    for _ in range(stage.plan.starts):
        with running(ours, stage) as one:
            times.append(round(one.start_seconds, 2))
    return times


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, str, int]]:
    """Start PostgreSQL and Valkey with the durability of production.

    Yields:
        The URLs of both, and the process id of the postmaster.
    """
    data = folder / "services"
    with embedded.services(data) as endpoints:
        assert endpoints.owner_url
        assert endpoints.redis_url
        pid = int((data / "postgres" / "postmaster.pid").read_text().split()[0])
        assert urlsplit(endpoints.owner_url).scheme == "postgresql"
        yield endpoints.owner_url, endpoints.redis_url, pid


if __name__ == "__main__":
    main()
