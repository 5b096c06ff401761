"""The runs as one table of ratios, and as a plot."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

from bench.plot import Bar, draw
from bench.rounds import OURS, Result

Key = tuple[int, str, int]
"""How many users, which work, how many connections."""


def write(results: Sequence[Result], facts: Mapping[str, object], folder: Path) -> None:
    text = "\n\n".join(
        [
            _describe(facts),
            _table(_list_ratios(results)),
            "Processor time for each answer (server + PostgreSQL, microseconds):",
            _table(_list_costs(results)),
            "Processes:",
            _table(_list_processes(facts)),
        ]
    )
    (folder / "results.md").write_text(text + "\n")
    (folder / "me.svg").write_text(_plot(results))
    print(f"\n{text}\n\n{folder} has it, as results.json, results.md and me.svg.")


def group(results: Iterable[Result]) -> dict[Key, dict[str, list[Result]]]:
    found: dict[Key, dict[str, list[Result]]] = {}
    for one in results:
        key = (one.users, one.work, one.connections)
        found.setdefault(key, {}).setdefault(one.target, []).append(one)
    return found


def compare(ours: Sequence[Result], theirs: Sequence[Result]) -> list[float]:
    """Ours by theirs in each round that both were in."""
    rates = {one.round: one.rate for one in theirs}
    return [one.rate / rates[one.round] for one in ours if rates.get(one.round)]


def _describe(facts: Mapping[str, object]) -> str:
    return (
        f"{facts['when']}, {facts['cores']} cores, Python {facts['python']}, "
        f"{facts['minutes']} minutes. One worker each, nothing pinned, PostgreSQL and the load on "
        "the same cores. How many times as many answers a second as the other gives: the median "
        "of the rounds, and the smallest and the largest."
    )


def _list_ratios(results: Sequence[Result]) -> list[list[str]]:
    together = [found for found in group(results).values() if OURS in found]
    others = [
        name for name in dict.fromkeys(it for found in together for it in found) if name != OURS
    ]
    lines = [["work", "users", "connections", "a second", "p50 ms", "p99 ms", *others]]
    for (users, work, connections), by_target in group(results).items():
        ours = by_target.get(OURS, [])
        if not ours:
            continue
        lines.append(
            [
                work,
                f"{users:,}",
                str(connections),
                f"{median(one.rate for one in ours):,.0f}{_flag(ours)}",
                f"{median(one.p50 for one in ours):.1f}",
                f"{median(one.p99 for one in ours):.1f}",
                *(_show(ours, by_target.get(name, [])) for name in others),
            ]
        )
    return lines


def _show(ours: Sequence[Result], theirs: Sequence[Result]) -> str:
    if not theirs:
        return ""
    ratios = compare(ours, theirs)
    if not ratios:
        return "gives none"
    span = f" ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else ""
    return f"{median(ratios):.2f}{span}{_flag(theirs)}"


def _flag(runs: Sequence[Result]) -> str:
    refused, lost = sum(one.refused for one in runs), sum(one.lost for one in runs)
    said = [f"{refused} refused"] * bool(refused) + [f"{lost} lost"] * bool(lost)
    return f" [{', '.join(said)}]" if said else ""


def _list_costs(results: Sequence[Result]) -> list[list[str]]:
    names = list(dict.fromkeys(one.target for one in results if one.server_us))
    lines = [["work", "users", "connections", *names]]
    for (users, work, connections), by_target in group(results).items():
        cells = [
            f"{median(one.server_us for one in runs):,.0f}"
            f" + {median(one.postgres_us for one in runs):,.0f}"
            if (runs := by_target.get(name))
            else ""
            for name in names
        ]
        lines.append([work, f"{users:,}", str(connections), *cells])
    return lines


def _list_processes(facts: Mapping[str, object]) -> list[list[str]]:
    lines = [["", "first 200 after", "memory at first", "memory after the load"]]
    for what, found in facts.items():
        if isinstance(found, dict):
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


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *rest = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rest))


def _plot(results: Sequence[Result]) -> str:
    most = max(one.users for one in results if one.work == "me")
    runs = group(results).get((most, "me", 64), {})
    bars = [
        Bar(name, *(choose(one.rate for one in found) for choose in (median, min, max)))
        for name, found in runs.items()
    ]
    return draw(
        "GET /users/me, answers a second, 64 connections",
        sorted(bars, key=lambda bar: -bar.value),
        marked=OURS,
    )
