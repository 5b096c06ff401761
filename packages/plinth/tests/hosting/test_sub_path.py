"""The application below a path of a proxy (ROOT_PATH), which may strip or forward it."""

import re
from collections.abc import AsyncIterator, Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.db.database import Database
from plinth.testing.people import People
from tests.support.command import plinth
from tests.support.proxy import proxying
from tests.support.serving import serving
from tests.support.superuser import CSRF, Superuser

ROOT_PATH = "/team/service"
LINK = re.compile(r'(?:src|href|action|spec-url|data-document)="([^"#]+)"')


@pytest.fixture(params=[True, False], ids=["stripped", "passed on"])
def outside(
    request: pytest.FixtureRequest,
    environment: dict[str, str],
    database: Database,
    tmp_path: Path,
) -> Iterator[str]:
    """Yield the URL of the proxy."""
    settings: dict[str, Any] = environment | {
        "ENVIRONMENT": "development",
        "ROOT_PATH": f"{ROOT_PATH}/",
    }
    with serving(tmp_path, **settings) as served:
        port = urlsplit(served.url).port
        assert port
        with proxying(port, ROOT_PATH, strip=request.param) as address:
            yield address


@pytest.fixture
async def browser(outside: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(base_url=f"{outside}{ROOT_PATH}", timeout=60) as client:
        yield client


async def test_api_and_its_cookie_work_below_a_path(
    browser: AsyncClient, second: asyncpg.Connection, outside: str
) -> None:
    welcome = (await browser.get("/")).json()
    for link in (welcome["docs"], welcome["redoc"], welcome["health"]):
        assert (await browser.get(f"{outside}{link}")).status_code == 200, link

    api = AsyncClient(base_url=f"{outside}{ROOT_PATH}/api/v1", timeout=60)
    async with api:
        people = People(api, second)
        person = await people.add()
        login = {"email": person.email, "password": person.password}
        answer = await api.post("/auth/login", json=login)
        assert answer.status_code == 200
        assert f"Path={ROOT_PATH}/api/v1/auth;" in answer.headers["set-cookie"]
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert (await api.get("/users/me", headers=headers)).status_code == 200
        assert (await api.get("/users/me/", headers=headers)).status_code == 200
        assert (await api.delete("/users/me", headers=headers)).status_code == 405


async def test_docs_assets_load_below_a_path(browser: AsyncClient, outside: str) -> None:
    pages = [await browser.get(page) for page in ("/docs", "/redoc")]

    links = [unescape(link) for page in pages for link in LINK.findall(page.text)]
    assert len(links) >= 6
    for link in links:
        assert link.startswith(f"{ROOT_PATH}/"), link
        assert (await browser.get(f"{outside}{link}")).status_code == 200, link


async def test_openapi_document_has_the_root_path(
    browser: AsyncClient, outside: str, second: asyncpg.Connection
) -> None:
    document = (await browser.get("/api/v1/openapi.json")).json()

    assert document["servers"] == [{"url": ROOT_PATH}]
    flows = document["components"]["securitySchemes"]["OAuth2PasswordBearer"]["flows"]
    async with AsyncClient(base_url=f"{outside}{ROOT_PATH}/api/v1", timeout=60) as api:
        person = await People(api, second).add()
        form = {"username": person.email, "password": person.password}
        answer = await api.post(f"{outside}{flows['password']['tokenUrl']}", data=form)
    assert answer.status_code == 200, flows


async def test_admin_pages_work_below_a_path(
    browser: AsyncClient, outside: str, environment: dict[str, str]
) -> None:
    made = plinth(
        "create-superuser",
        "--email=root@example.com",
        "--username=root",
        "--password-env=PW",
        PW="a-Plinth-4-root",
        **environment,
    )
    assert made.returncode == 0, made.stderr
    turned_away = await browser.get("/admin/")
    assert turned_away.status_code == 303
    assert turned_away.headers["location"].startswith(f"{ROOT_PATH}/admin/login")
    assert f"{CSRF}=" in turned_away.headers["set-cookie"]
    assert f"; Path={ROOT_PATH}/admin;" in turned_away.headers["set-cookie"]

    login = await browser.get("/admin/login")
    token = re.search(r'name="csrftoken" value="([^"]+)"', login.text)
    assert token
    form = {"csrftoken": unescape(token[1]), "email": "root@example.com"}
    entered = await browser.post("/admin/login", data=form | {"password": "a-Plinth-4-root"})

    assert entered.status_code == 303, entered.text
    assert entered.headers["location"] == f"{ROOT_PATH}/admin/"
    cookies = [*login.headers.get_list("set-cookie"), *entered.headers.get_list("set-cookie")]
    assert len(cookies) > 1
    assert all(f"; Path={ROOT_PATH}/admin" in cookie for cookie in cookies)
    front = await browser.get("/admin/")
    assert front.status_code == 200
    here = f"{outside}{ROOT_PATH}/"
    for link in {unescape(link) for link in LINK.findall(front.text)}:
        absolute = link if link.startswith("http") else f"{outside}{link}"
        assert absolute.startswith(here), link
        if "/logout" not in link:
            assert (await browser.get(absolute)).status_code == 200, link
    gone = await Superuser(browser).client.post(
        "/admin/logout", headers={"X-CSRFToken": Superuser(browser).csrf}
    )
    assert gone.headers["location"] == f"{ROOT_PATH}/admin/login"


async def test_direct_probe_works_without_the_root_path(
    environment: dict[str, str], tmp_path: Path
) -> None:
    settings: dict[str, Any] = environment | {"ROOT_PATH": ROOT_PATH}
    with serving(tmp_path, **settings) as served:
        async with AsyncClient(base_url=served.url) as client:
            assert (await client.get("/health/ready")).status_code == 200
