"""Plots as SVG within the page: no script, no other host, and a screen reader has the figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import count

from markupsafe import Markup

WIDTH, HEIGHT = 640, 200
LEFT, RIGHT, TOP, BOTTOM = 36, 4, 8, 22
LINES = 4
BAR_GAP = 0.25  # of a day's width


@dataclass(frozen=True, slots=True)
class Series:
    """
    Attributes:
        style: the class that gives it its colour (`static/admin.css`).
        values: one a day.
    """

    name: str
    style: str
    values: Sequence[int]


def draw_bars(title: str, days: Sequence[date], *series: Series) -> Markup:
    """A bar for each day, with the series on top of each other."""
    top = _round_up(max((sum(values) for values in zip(*_values(series), strict=True)), default=0))
    parts = [_draw_line(top * line // LINES, top) for line in range(LINES + 1)]
    for number, day in enumerate(days):
        parts.append(_draw_day(number, len(days), day, series, top))
        if (len(days) - 1 - number) % 7 == 0:
            parts.append(_draw_date(number, len(days), day))
    return Markup(
        '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(WIDTH, HEIGHT, _tell(title, series), Markup("").join(parts))


def _draw_day(number: int, total: int, day: date, series: Sequence[Series], top: int) -> Markup:
    wide = (WIDTH - LEFT - RIGHT) / total
    left = LEFT + number * wide + wide * BAR_GAP / 2
    height, bars = 0, []
    for it in series:
        value = it.values[number]
        if value:
            y = _y(height + value, top)
            bars.append(
                Markup(
                    '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
                ).format(it.style, left, y, wide * (1 - BAR_GAP), _y(height, top) - y)
            )
        height += value
    told = ", ".join(f"{it.values[number]} {it.name}" for it in series)
    # The whole column answers to the pointer, also where nothing happened.
    column = Markup('<rect class="column" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(
        LEFT + number * wide, TOP, wide, HEIGHT - TOP - BOTTOM
    )
    tip = Markup("<title>{}: {}</title>").format(f"{day:%a %d %b}", told)
    return Markup("<g>{}{}{}</g>").format(tip, column, Markup("").join(bars))


def _draw_line(value: int, top: int) -> Markup:
    y = _y(value, top)
    line = Markup('<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>')
    label = Markup('<text x="{}" y="{:.1f}" text-anchor="end">{:,}</text>')
    return line.format(LEFT, WIDTH - RIGHT, y, y) + label.format(LEFT - 6, y + 4, value)


def _draw_date(number: int, total: int, day: date) -> Markup:
    x = LEFT + (number + 0.5) * (WIDTH - LEFT - RIGHT) / total
    anchor = "end" if number == total - 1 else "middle"
    text = Markup('<text x="{:.1f}" y="{}" text-anchor="{}">{}</text>')
    return text.format(x, HEIGHT - 6, anchor, f"{day.day} {day:%b}")


def _y(value: int, top: int) -> float:
    return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)


def _round_up(value: int) -> int:
    """To 4, 8, 20, 40, 80, 200, ...: their quarters are whole, and good to read."""
    steps = (LINES * digit * int(10**zeros) for zeros in count() for digit in (1, 2, 5))
    return next(step for step in steps if step >= value)


def _values(series: Sequence[Series]) -> list[Sequence[int]]:
    return [it.values for it in series]


def _tell(title: str, series: Sequence[Series]) -> str:
    return f"{title}: " + ", ".join(f"{sum(it.values):,} {it.name}" for it in series)
