"""The dashboard of the admin. Its charts are SVG within the page and need no script."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import count

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin.routing import route
from starlette_admin.views import CustomView

from plinth.accounts.deps import Resources
from plinth.accounts.queries import factor, statistics
from plinth.accounts.services import outbox
from plinth.health.readiness import readiness_of
from plinth.security.encryption import current_key_id

DAYS = 30
MAX_EVENTS = 8
WIDTH, HEIGHT = 640, 200
LEFT, RIGHT, TOP, BOTTOM = 36, 4, 8, 22
GRID_LINES = 4
BAR_GAP = 0.25  # of the width of a day


class Dashboard(CustomView):
    menu_label = "Overview"
    icon = "fa-solid fa-gauge-high"
    path = "/"
    route_name = "index"

    @route("")
    async def index(self, request: Request) -> Response:
        assert self.templates
        resources: Resources = request.state.resources
        db = request.state.session
        days = await statistics.count_by_day(db, days=DAYS)
        dates = [day.date for day in days]
        context = {
            "title": self.menu_label,
            "days": DAYS,
            "today": days[-1],
            "totals": await statistics.get_totals(db),
            "factors": await factor.count(db, current_key_id()),
            "backlog": await outbox.count(db),
            "latest": await statistics.get_latest_events(db, limit=MAX_EVENTS),
            "health": await readiness_of(request.state.application).get(),
            "pool": resources.database.pool_status(),
            "registrations": draw_bars(
                "Registrations",
                dates,
                Series("registrations", "good", [day.registrations for day in days]),
            ),
            "logins": draw_bars(
                "Logins and refusals",
                dates,
                Series("logins", "good", [day.logins for day in days]),
                Series("refusals", "bad", [day.refusals for day in days]),
            ),
        }
        return self.templates.TemplateResponse(request, "front.html", context)


@dataclass(frozen=True, slots=True)
class Series:
    """
    Attributes:
        style: the CSS class that sets the color (`static/admin.css`).
        values: one value for each day.
    """

    name: str
    style: str
    values: Sequence[int]


def draw_bars(title: str, days: Sequence[date], *series: Series) -> Markup:
    """Draw one stacked bar for each day as SVG."""
    sums = [sum(values) for values in zip(*(it.values for it in series), strict=True)]
    top = _round_up(max(sums, default=0))
    parts = [_draw_grid_line(top * line // GRID_LINES, top) for line in range(GRID_LINES + 1)]
    for number, day in enumerate(days):
        parts.append(_draw_day(number, len(days), day, series, top))
        if (len(days) - 1 - number) % 7 == 0:
            parts.append(_draw_date(number, len(days), day))
    return Markup(
        '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(WIDTH, HEIGHT, _summarize(title, series), Markup("").join(parts))


def _draw_day(number: int, total: int, day: date, series: Sequence[Series], top: int) -> Markup:
    width = (WIDTH - LEFT - RIGHT) / total
    left = LEFT + number * width + width * BAR_GAP / 2
    height, bars = 0, []
    for it in series:
        value = it.values[number]
        if value:
            y = _y(height + value, top)
            bars.append(
                Markup(
                    '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
                ).format(it.style, left, y, width * (1 - BAR_GAP), _y(height, top) - y)
            )
        height += value
    values = ", ".join(f"{it.values[number]} {it.name}" for it in series)
    # The whole column shows the tooltip, also on a day without a bar.
    column = Markup('<rect class="column" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(
        LEFT + number * width, TOP, width, HEIGHT - TOP - BOTTOM
    )
    tooltip = Markup("<title>{}: {}</title>").format(f"{day:%a %d %b}", values)
    return Markup("<g>{}{}{}</g>").format(tooltip, column, Markup("").join(bars))


def _draw_grid_line(value: int, top: int) -> Markup:
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
    """Round up to 4, 8, 20, 40, 80, 200 and so on, whose quarters are round numbers."""
    steps = (GRID_LINES * digit * int(10**zeros) for zeros in count() for digit in (1, 2, 5))
    return next(step for step in steps if step >= value)


def _summarize(title: str, series: Sequence[Series]) -> str:
    """Return the text for screen readers."""
    return f"{title}: " + ", ".join(f"{sum(it.values):,} {it.name}" for it in series)
