"""The contract's rules understand envelopes, slugs, nested paths, and other error formats."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from fastapi import APIRouter, FastAPI, Request
from httpx2 import ASGITransport, AsyncClient
from pydantic import BaseModel
from sqlalchemy import select

from app.api import v1
from plinth import application
from plinth.accounts.deps import CurrentUser, Resources
from plinth.config import settings
from plinth.db.database import Database
from plinth.errors import PermissionDenied
from plinth.resources.access import OWNER_OR_DENIED, PUBLIC, USER, access
from plinth.resources.crud import CRUDResource
from plinth.resources.deps import DB
from plinth.resources.fields import Line
from plinth.resources.listing import Listing
from plinth.testing.answers import check_documented
from plinth.testing.contract import access as rules
from plinth.testing.contract import openapi, robustness
from plinth.testing.databases import recorded_statements
from plinth.testing.operations import Operation, list_operations
from plinth.testing.people import People
from plinth.testing.scene import Scene, make_scene
from tests.kit import articles
from tests.kit.articles import Article, ArticleOut, ArticlesOut, NewArticle, NewArticleIn
from tests.kit.drafts import Draft, Title

PREFIX = f"{settings.API_V1_PREFIX}/articles"
LISTING = Listing(Draft, sort=("created_at",), default="-created_at")


def make_app(*routers: APIRouter, guarded: tuple[APIRouter, ...] = ()) -> FastAPI:
    api_router = APIRouter()
    api_router.include_router(v1.api_router)
    for router in routers:
        api_router.include_router(router)
    articles.include(api_router, *guarded)
    return application.create_app(api_router, conventions={PREFIX: articles.CONVENTIONS})


def list_articles_operations(app: FastAPI) -> list[Operation]:
    return [it for it in list_operations(app) if it.path.startswith(PREFIX)]


APP = make_app(articles.open_router, guarded=(articles.router,))
OPERATIONS = list_articles_operations(APP)
each = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


@pytest.fixture
def apart(drafts_app: FastAPI) -> Resources:
    """With the tables of these tests."""
    found: Resources = drafts_app.state.resources
    return found


class Stage:
    """An application and the objects that the rules need."""

    def __init__(self, client: AsyncClient, second: asyncpg.Connection, database: Database) -> None:
        self.client = client
        self.people = People(client, second)
        self.second = second
        self.database = database

    async def scene(self, app: FastAPI) -> Scene:
        return await make_scene(self.client, self.people, self.second, list_operations(app))


async def staged(app: FastAPI, apart: Resources, second: asyncpg.Connection) -> Stage:
    app.state.resources = apart
    client = AsyncClient(
        transport=ASGITransport(app, raise_app_exceptions=False),
        base_url=f"http://test{settings.API_V1_PREFIX}",
        event_hooks={"response": [check_documented(app)]},
    )
    return Stage(client, second, apart.database)


@pytest.fixture
async def stage(
    apart: Resources, database: Database, second: asyncpg.Connection
) -> AsyncIterator[Stage]:
    made = await staged(APP, apart, second)
    async with made.client:
        yield made


def test_operations_are_parsed() -> None:
    found = {str(it): it for it in OPERATIONS}
    create = found[f"POST {PREFIX}"]
    assert create.settable_fields == {"title", "body"}
    assert create.writes_row
    assert create.extract_row({"article": {"slug": "a"}}) == {"slug": "a"}
    listing = found[f"GET {PREFIX}"]
    assert listing.returns_list
    assert listing.extract_rows({"articles": [1], "articles_count": 1}) == [1]
    assert not found[f"GET {PREFIX}/{{slug}}"].returns_list


@each
async def test_rules_pass_for_a_correct_resource(stage: Stage, operation: Operation) -> None:
    await rules.test_access_matches_declaration(await stage.scene(APP), operation)
    with recorded_statements(stage.database) as statements:
        await rules.test_query_count_within_declaration(
            await stage.scene(APP), statements, operation
        )
        if operation.returns_list:
            await rules.test_list_query_count_is_constant(
                await stage.scene(APP), stage.people, statements, operation
            )
    if operation.settable_fields:
        await rules.test_no_mass_assignment(await stage.scene(APP), operation)
    openapi.test_errors_document_the_format_of_their_path(operation)
    openapi.test_possible_statuses_are_documented(operation)


@each
async def test_bad_input_is_refused_in_the_format_of_the_path(
    stage: Stage, operation: Operation
) -> None:
    for role in ("anonymous", "user"):
        await robustness.test_bad_input_is_refused_as_documented(APP, stage.people, operation, role)
    await robustness.test_base_request_is_valid(APP, stage.people, operation)


class Careless(BaseModel):
    title: Title


class CarelessIn(BaseModel):
    article: Careless


async def test_update_without_an_owner_check_is_detected(
    apart: Resources, second: asyncpg.Connection, database: Database
) -> None:
    careless = APIRouter(prefix="/articles/any")

    @careless.put("/{slug}", response_model=ArticleOut, responses=articles.CHANGING)
    @access(OWNER_OR_DENIED, queries=4)
    async def change_any(db: DB, user: CurrentUser, slug: Line, new: NewArticleIn) -> Any:
        row = await articles.articles.rows.get(db, await articles.find_id(db, slug))
        assert row
        return {"article": await articles.articles.rows.update(db, db_obj=row, obj_in=new.article)}

    with pytest.raises(AssertionError, match=r"allowed \(200\), expected forbidden"):
        await judge(careless, apart, second, rules.test_access_matches_declaration)


async def test_hidden_row_is_detected_if_a_denial_is_declared(
    apart: Resources, second: asyncpg.Connection, database: Database
) -> None:
    hiding = CRUDResource[Draft, NewArticle, NewArticle](Draft, LISTING)
    careless = APIRouter(prefix="/articles/any")

    @careless.delete("/{slug}", status_code=204, responses=articles.CHANGING)
    @access(OWNER_OR_DENIED, queries=4)
    async def discard_any(db: DB, user: CurrentUser, slug: Line) -> None:
        await hiding.remove(db, await articles.find_id(db, slug), by=user)

    with pytest.raises(AssertionError, match="expected forbidden"):
        await judge(careless, apart, second, rules.test_access_matches_declaration)


async def test_owner_set_inside_an_envelope_is_detected(
    apart: Resources, second: asyncpg.Connection, database: Database
) -> None:
    careless = APIRouter(prefix="/articles/any")

    @careless.post("", status_code=201, response_model=ArticleOut)
    @access(USER, queries=2)
    async def create_any(user: CurrentUser, new: CarelessIn, request: Request) -> Any:
        owner_id = (await request.json())["article"].get("owner_id", user.id)
        return {"article": {"title": new.article.title, "body": None, "owner_id": owner_id}}

    with pytest.raises(AssertionError, match="sets owner_id"):
        await judge(careless, apart, second, rules.test_no_mass_assignment)


async def test_query_per_row_inside_an_envelope_is_detected(
    apart: Resources, second: asyncpg.Connection, database: Database
) -> None:
    careless = APIRouter(prefix="/articles")

    @careless.get("", responses={})
    @access(PUBLIC, queries=19)
    async def list_any(db: DB) -> ArticlesOut:
        ids = (await db.scalars(select(Draft.id))).all()
        rows = [await articles.articles.get(db, it, viewer=None) for it in ids]
        shown = [Article.model_validate(row) for row in rows]
        return ArticlesOut(articles=shown, articles_count=len(shown))

    app = make_app(careless, guarded=(articles.router,))
    stage = await staged(app, apart, second)
    (operation,) = (it for it in list_articles_operations(app) if it.returns_list)
    with recorded_statements(stage.database) as statements:
        scene = await stage.scene(app)
        with pytest.raises(AssertionError, match="load related rows with one query"):
            await rules.test_list_query_count_is_constant(
                scene, stage.people, statements, operation
            )


async def judge(
    careless: APIRouter, apart: Resources, second: asyncpg.Connection, rule: Any
) -> None:
    app = make_app(articles.open_router, guarded=(careless, articles.router))
    stage = await staged(app, apart, second)
    async with stage.client:
        scene = await stage.scene(app)
        (operation,) = (it for it in list_operations(app) if "/articles/any" in it.path)
        await rule(scene, operation)


async def test_route_without_a_known_shape_is_skipped_with_a_reason(stage: Stage) -> None:
    lonely = APIRouter(prefix="/articles/any")

    @lonely.get("/{place}", response_model=ArticleOut)
    @access(PUBLIC, queries=1)
    async def get_place(place: Line) -> Any:
        raise AssertionError

    app = make_app(lonely)
    (operation,) = (it for it in list_operations(app) if "/any" in it.path)
    scene = await stage.scene(app)
    with pytest.raises(pytest.skip.Exception, match=r"no route may create the row of \{place\}"):
        await rules.test_access_matches_declaration(scene, operation)
    login = next(it for it in list_operations(app) if it.path.endswith("/auth/login"))
    with pytest.raises(pytest.skip.Exception, match="no object with an `id` or a `slug`"):
        await rules.test_no_mass_assignment(scene, login)


async def test_outage_rule_uses_the_scheme_of_the_path(
    stage: Stage,
) -> None:
    (operation,) = (it for it in OPERATIONS if str(it) == f"POST {PREFIX}")
    await robustness.test_database_outage_is_503(APP, stage.people, operation)


@dataclass(frozen=True)
class Caller:
    id: int
    is_superuser: bool = False


async def test_a_denial_names_the_resource(stage: Stage) -> None:
    owner, other = [Caller((await stage.people.add()).id) for _ in range(2)]
    async with stage.database.transaction() as db:
        row = await articles.articles.create(db, NewArticle(title="An article"), by=owner)
        with pytest.raises(PermissionDenied) as caught:
            await articles.articles.remove(db, row.id, by=other)
    assert caught.value.code == "draft_denied"


async def test_people_can_sign_in_without_a_login_route(
    apart: Resources, second: asyncpg.Connection
) -> None:
    api_router = APIRouter()
    articles.include(api_router, articles.router)
    app = application.create_app(api_router, conventions={PREFIX: articles.CONVENTIONS})
    stage = await staged(app, apart, second)
    people = People(stage.client, second, apart.database)
    headers = {"Authorization": f"Token {(await people.enter()).tokens['access_token']}"}
    answer = await stage.client.post("/articles", headers=headers, json={"article": {"title": "A"}})
    assert answer.status_code == 201


async def test_row_with_denied_writes_is_readable_by_all(stage: Stage) -> None:
    drafts = CRUDResource[Draft, NewArticle, NewArticle](Draft, deny_writes=True)
    owner = Caller((await stage.people.add()).id)
    async with stage.database.transaction() as db:
        row = await drafts.create(
            db, NewArticle(title="An article"), by=owner, body="From the path"
        )
        assert (row.body, row.owner_id) == ("From the path", owner.id)
        found = await drafts.get(db, row.id, viewer=None)
        assert found.id == row.id
