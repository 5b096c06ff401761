"""`/docs` and `/redoc`: local files only, a strict policy, off outside development."""

import hashlib
import json
import re
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from plinth.config import settings
from plinth.testing.answers import check_refusal
from tests.support.application import create_app
from tests.support.environment import COMPLETE, LIBRARY, ROOT, run_python

FOLDER = LIBRARY / "http" / "static"
LOADED = re.compile(r'(?:src|href|spec-url|data-document)="([^"]+)"')

PRODUCTION = """
import asyncio, json, sys
from app.main import app
from plinth.testing.asgi import send

async def look():
    return {path: await send(app, "GET", path) for path in ("/", "/docs", "/api/v1/openapi.json")}

answers = asyncio.run(look())
print(json.dumps({
    "door": json.loads(answers["/"].body),
    "statuses": {path: answer.status for path, answer in answers.items()},
    "hsts": [answer.headers.get("strict-transport-security") for answer in answers.values()],
    "admin": [name for name in sys.modules if name.startswith("starlette_admin")],
}))
"""


@pytest.fixture
async def outside(app: FastAPI) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(
        transport=ASGITransport(app, raise_app_exceptions=False), base_url="http://test"
    ) as client:
        yield client


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_page_loads_only_local_assets(outside: AsyncClient, page: str) -> None:
    answer = await outside.get(page)
    loaded = LOADED.findall(answer.text)

    assert len(loaded) >= 3
    for address in loaded:
        assert address.startswith("/"), address
        file = await outside.get(address)
        assert file.status_code == 200, address
        if "?v=" in address:
            assert file.headers["cache-control"].endswith("immutable")
            assert file.headers.get("content-encoding") == (
                "gzip" if "png" not in address else None
            )


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_page_policy_permits_only_local_scripts(outside: AsyncClient, page: str) -> None:
    answer = await outside.get(page)
    policy = dict(
        part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";")
    )

    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert not re.search(r"<script(?![^>]* src=)", answer.text)


async def test_asset_is_uncompressed_without_accept_encoding_gzip(outside: AsyncClient) -> None:
    answer = await outside.get("/docs/assets/swagger.js", headers={"Accept-Encoding": "identity"})

    assert answer.content == (FOLDER / "swagger.js").read_bytes()
    assert answer.headers["cache-control"] == "public, max-age=3600"


@pytest.mark.parametrize("name", ["", "nowhere.js", "..%2F..%2Fmain.py", "%2Fetc%2Fpasswd"])
async def test_unknown_asset_is_404(outside: AsyncClient, name: str) -> None:
    check_refusal(await outside.get(f"/docs/assets/{name}"), 404, "Not Found")


async def test_docs_are_404_when_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DOCS_ENABLED", False)
    transport = ASGITransport(create_app(), raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        door = (await client.get("/")).json()
        assert (door["docs"], door["redoc"]) == (None, None)
        for path in ("/docs", "/redoc", "/docs/assets/swagger.js", "/api/v1/openapi.json"):
            check_refusal(await client.get(path), 404, "Not Found")


def test_production_sends_hsts_and_has_no_docs_and_no_admin() -> None:
    found = run_python(PRODUCTION, cwd=ROOT, **COMPLETE)
    seen = json.loads(found.stdout)

    assert (seen["door"]["docs"], seen["door"]["redoc"]) == (None, None)
    assert seen["statuses"] == {"/": 200, "/docs": 404, "/api/v1/openapi.json": 404}
    assert seen["hsts"] == ["max-age=31536000"] * 3
    assert seen["admin"] == [], "what is off is not imported"


def test_vendored_files_match_the_recorded_versions() -> None:
    noted = json.loads((FOLDER / "versions.json").read_text())
    hashes = {
        name: digest for package in noted.values() for name, digest in package["sha256"].items()
    }

    assert {package["license"] for package in noted.values()} == {"Apache-2.0", "MIT"}
    assert set(hashes) | {"swagger.js", "versions.json"} == {
        file.name for file in FOLDER.iterdir()
    }, "fetch them with `make docs-assets`"
    for name, digest in hashes.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest, name
