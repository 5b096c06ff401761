"""The data of an organization: the page that chooses it, and the views of its tables.

The application's role cannot read across organizations, so these tables are empty without a choice.
"""

from http import HTTPStatus

from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette_admin.routing import route
from starlette_admin.views import CustomView

from plinth.accounts.services import audit
from plinth.admin.auth import actor
from plinth.admin.choice import Choice, forget_choice, set_choice
from plinth.admin.resources import Resource
from plinth.admin.table import to_text
from plinth.db.database import release
from plinth.organizations.models import Organization


class OrganizationResource(Resource):
    """A table with policies."""

    list_template = "organization_list.html"

    def can_create(self, request: Request) -> bool:
        return request.state.organization is not None


class OrganizationChoice(CustomView):
    menu_label = "Organization data"
    icon = "fa-solid fa-building-lock"
    path = "/organization-data"
    route_name = "organization-data"

    @route("", methods=["GET", "POST"])
    async def index(self, request: Request) -> Response:
        if request.method != "POST":
            return self._render(request)
        slug = to_text(str((await request.form()).get("slug", ""))).strip().lower()
        page = RedirectResponse(request.url, HTTPStatus.SEE_OTHER)
        if not slug:
            forget_choice(request, page)
            return page
        choice = await _find(request, slug)
        if choice is None:
            return self._render(request, error=f"There is no organization {slug}.")
        async with request.state.resources.database.transaction() as db:
            reason = f"{choice.id}: {choice.slug}"
            audit.record(db, "organization.opened", subject_id=None, reason=reason)
        set_choice(request, page, choice, actor(request).session_id)
        return page

    def _render(self, request: Request, error: str = "") -> Response:
        assert self.templates
        status = HTTPStatus.UNPROCESSABLE_ENTITY if error else HTTPStatus.OK
        context = {"title": self.menu_label, "error": error}
        return self.templates.TemplateResponse(
            request, "organization_data.html", context, status_code=status
        )


async def _find(request: Request, slug: str) -> Choice | None:
    db = request.state.session
    columns = select(Organization.id, Organization.slug).where(Organization.slug == slug)
    row = (await db.execute(columns)).one_or_none()
    await release(db)
    return Choice(row.id, row.slug) if row else None
