"""Report of the runs: tables of ratios, plots, and verdicts."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

from bench.figures import Figures, compare, show
from bench.plot import Bar, draw
from bench.rounds import Result
from bench.targets import OURS
from bench.verdicts import Judged

Runs = Mapping[str, Sequence[Result]]
"""The runs of one work with one number of connections, by target."""
FEW = 1  # cells in a column: a column this short becomes a line below the table
RULE = (
    "The median of the rounds decides; the smallest and the largest are in parentheses."
    " *By* is our rate divided by the rate of the other target. *No room*: the machine is too slow."
)
PLOTS = {
    "me.svg": "GET /users/me by 64 connections: answers a second",
    "cost.svg": "GET /users/me by 64 connections: microseconds of processor time an answer",
}


def write(figures: Figures, judged: Sequence[Judged], folder: Path) -> None:
    text = "\n\n".join(_write_parts(figures, judged))
    (folder / "results.md").write_text(text + "\n")
    (folder / "me.svg").write_text(_plot_rates(figures))
    (folder / "cost.svg").write_text(_plot_costs(figures))
    print(f"\n{text}\n\nThe results are in {folder}: results.json, results.md, {', '.join(PLOTS)}.")


def _write_parts(figures: Figures, judged: Sequence[Judged]) -> list[str]:
    parts = [
        _describe(figures),
        "### What it must show",
        f"{_count_verdicts(judged)} {RULE}",
        _table(_list_verdicts(judged), ()),
    ]
    for users in dict.fromkeys(users for users, _, _ in figures.grouped):
        parts += [f"### {users:,} users", *_write_ratios(figures, users)]
    parts += [
        "### Processor time for each answer",
        "Microseconds, of the server and of PostgreSQL.",
        _table(_list_costs(figures)),
        "### Processes",
        _table(_list_processes(figures)),
    ]
    return parts


def _describe(figures: Figures) -> str:
    facts = figures.facts
    return (
        f"{facts['when']}, {figures.cores} cores, Python {facts['python']}, {facts['minutes']}"
        f" minutes; the load on the machine was {facts['load']} when it began. One worker each,"
        " nothing pinned, PostgreSQL and wrk on the same cores. Of equal pieces of computing, with"
        f" nothing else at work here, the slowest hundredth took {_list_pulse(figures)} times as"
        " long as usual before and after the run."
    )


def _list_pulse(figures: Figures) -> str:
    return " and ".join(f"{times:g}" for times in figures.facts["pulse"])


def _count_verdicts(judged: Sequence[Judged]) -> str:
    counts = Counter(it.verdict for it in judged if it.bound)
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()) + "."


def _list_verdicts(judged: Sequence[Judged]) -> list[list[str]]:
    head = ["work, connections", "bound", "seen", "verdict", ""]
    return [head, *([it.what, it.bound, it.seen, it.verdict, it.note] for it in judged)]


def _write_ratios(figures: Figures, users: int) -> list[str]:
    works = _works_of(figures, users)
    others = _names(works, lambda name, runs: name != OURS and OURS in runs)
    counts = {name: sum(name in runs for runs in works.values()) for name in others}
    wide = [name for name in others if counts[name] > FEW]
    lines = [["work, connections", "a second", "p50 ms", "p99 ms", *wide]]
    besides = []
    for label, runs in works.items():
        if OURS not in runs:
            continue
        ours = runs[OURS]
        lines.append(
            [
                label,
                show([one.rate for one in ours]) + _flag(ours),
                show([one.p50 for one in ours]),
                show([one.p99 for one in ours]),
                *(_show_ratio(ours, runs.get(name, ())) for name in wide),
            ]
        )
        besides += [
            f"{label}, by {name}: {_show_ratio(ours, theirs)}."
            for name, theirs in runs.items()
            if counts.get(name) == FEW
        ]
    explained = "Our results, and our rate divided by the rate of each other target."
    return [explained, _table(lines), *([" ".join(besides)] if besides else [])]


def _works_of(figures: Figures, users: int) -> dict[str, Runs]:
    return {
        f"{work}, {connections}": runs
        for (number, work, connections), runs in figures.grouped.items()
        if number == users
    }


def _names(works: Mapping[str, Runs], matches: Callable[[str, Runs], bool]) -> list[str]:
    found = (name for runs in works.values() for name in runs if matches(name, runs))
    return list(dict.fromkeys(found))


def _show_ratio(ours: Sequence[Result], theirs: Sequence[Result]) -> str:
    ratios = compare(ours, theirs)
    return f"{show(ratios)}{_flag(theirs)}" if ratios else ""


def _flag(runs: Sequence[Result]) -> str:
    refused, lost = sum(one.refused for one in runs), sum(one.lost for one in runs)
    parts = [f"{refused:,} refused"] * bool(refused) + [f"{lost:,} lost"] * bool(lost)
    return f" [{', '.join(parts)}]" if parts else ""


def _list_costs(figures: Figures) -> list[list[str]]:
    names = list(dict.fromkeys(one.target for one in figures.results if one.server_us))
    lines = [["work, users, connections", *names]]
    for (users, work, connections), by_target in figures.grouped.items():
        cells = [
            f"{median(one.server_us for one in runs):,.0f}"
            f" + {median(one.postgres_us for one in runs):,.0f}"
            if (runs := by_target.get(name))
            else ""
            for name in names
        ]
        lines.append([f"{work}, {users:,}, {connections}", *cells])
    return lines


def _list_processes(figures: Figures) -> list[list[str]]:
    lines = [["", "first 200 after", "memory at first", "memory after the load"]]
    for what, found in figures.facts.items():
        if isinstance(found, Mapping):
            users = what.removeprefix("processes, ")
            lines += [
                [
                    f"{name}, {users}",
                    f"{it['start_seconds']:.2f} s",
                    f"{it['idle_mib']} MiB",
                    f"{it['loaded_mib']} MiB",
                ]
                for name, it in found.items()
            ]
    return lines


def _table(lines: Sequence[Sequence[str]], right: Sequence[int] | None = None) -> str:
    """
    Args:
        right: the right-aligned columns; by default all but the first.
    """
    head, *rest = lines
    numbers = range(1, len(head)) if right is None else right
    rule = ["---:" if place in numbers else "---" for place in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *rest))


def _plot_rates(figures: Figures) -> str:
    bars = [
        Bar(name, middle, least=min(rates), most=max(rates))
        for name, runs in _runs_of_me(figures).items()
        for rates in [[one.rate for one in runs]]
        for middle in [median(rates)]
    ]
    return draw(PLOTS["me.svg"], sorted(bars, key=lambda bar: -bar.value), marked=OURS)


def _plot_costs(figures: Figures) -> str:
    bars = [
        Bar(
            name,
            median(one.server_us for one in runs),
            median(one.postgres_us for one in runs),
        )
        for name, runs in _runs_of_me(figures).items()
        if any(one.rate for one in runs)
    ]
    parts = ("the server", "PostgreSQL")
    ordered = sorted(bars, key=lambda bar: bar.value + bar.further)
    return draw(PLOTS["cost.svg"], ordered, marked=OURS, parts=parts)


def _runs_of_me(figures: Figures) -> Runs:
    users = min((users for users, work, _ in figures.grouped if work == "me"), default=0)
    return figures.grouped.get((users, "me", 64), {})
