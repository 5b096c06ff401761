"""The front page: how things stand, at a glance."""

from starlette.requests import Request
from starlette.responses import Response
from starlette_admin.routing import route
from starlette_admin.views import CustomView

from plinth.accounts.deps import Resources
from plinth.accounts.queries import figures
from plinth.accounts.services import outbox
from plinth.admin.charts import Series, draw_bars
from plinth.health.readiness import readiness_of

DAYS = 30
MAX_EVENTS = 8


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
        days = await figures.count_by_day(db, days=DAYS)
        dates = [day.date for day in days]
        context = {
            "title": self.menu_label,
            "days": DAYS,
            "today": days[-1],
            "totals": await figures.get_totals(db),
            "backlog": await outbox.count(db),
            "latest": await figures.get_latest_events(db, limit=MAX_EVENTS),
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
