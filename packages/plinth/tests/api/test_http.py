"""HTTP behavior of all routes: authentication, CORS, compression, slashes, HEAD and OPTIONS."""

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from plinth.config import settings
from plinth.testing.answers import check_refusal
from plinth.testing.people import People

ORIGINS = ["http://localhost:3000", "http://localhost:8000"]


@pytest.fixture
async def outside(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """A client whose base URL is without the prefix of the API."""
    async with AsyncClient(
        transport=ASGITransport(app, raise_app_exceptions=False), base_url="http://test"
    ) as client:
        yield client


async def test_root_lists_docs_and_health(outside: AsyncClient) -> None:
    answer = await outside.get("/")

    assert answer.status_code == 200
    assert set(answer.json()) == {"message", "version", "docs", "redoc", "health"}
    assert answer.json()["version"] == settings.VERSION == "1.0.0"
    for name in ("docs", "redoc", "health"):
        assert (await outside.get(answer.json()[name])).status_code == 200


async def test_docs_pages_load_the_openapi_document(outside: AsyncClient) -> None:
    for page in ("/docs", "/redoc"):
        answer = await outside.get(page)
        assert answer.headers["content-type"].startswith("text/html")
        assert "/api/v1/openapi.json" in answer.text
    document = (await outside.get("/api/v1/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert document["info"] == {"title": settings.PROJECT_NAME, "version": settings.VERSION}


@pytest.mark.parametrize("origin", ORIGINS)
async def test_allowed_origin_can_read_responses_and_errors(
    outside: AsyncClient, origin: str
) -> None:
    for path in ("/", "/api/v1/users/me", "/nowhere"):
        answer = await outside.get(path, headers={"Origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "ETag" in answer.headers["access-control-expose-headers"]  # for If-Match


@pytest.mark.parametrize("origin", ORIGINS)
async def test_allowed_origin_passes_the_preflight(outside: AsyncClient, origin: str) -> None:
    answer = await outside.options(
        "/api/v1/users/me",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "Authorization, Content-Type",
        },
    )

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:3001", "https://localhost:3000"]
)
async def test_other_origin_gets_no_cors_headers(outside: AsyncClient, origin: str) -> None:
    assert settings.BACKEND_CORS_ORIGINS == ORIGINS
    plain = await outside.get("/", headers={"Origin": origin})
    asking = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    preflight = await outside.options("/", headers=asking)

    assert "access-control-allow-origin" not in plain.headers
    assert "access-control-allow-origin" not in preflight.headers


@pytest.mark.parametrize("origin", [None, *ORIGINS, "http://evil.example"])
@pytest.mark.parametrize("path", ["/", "/docs", "/nowhere", "/api/v1/users/me"])
async def test_each_response_has_vary_origin_once(
    outside: AsyncClient, path: str, origin: str | None
) -> None:
    for encoding in ("identity", "gzip"):
        headers = {"Accept-Encoding": encoding} | ({"Origin": origin} if origin else {})
        answer = await outside.get(path, headers=headers)

        assert ", ".join(answer.headers.get_list("vary")).count("Origin") == 1


async def test_responses_are_compressed_from_1000_bytes(
    client: AsyncClient, people: People
) -> None:
    headers = (await people.enter(is_superuser=True)).headers | {"Accept-Encoding": "gzip"}
    seen = set()
    for limit in range(1, 13):
        await people.add()
        answer = await client.get("/users/", headers=headers, params={"limit": limit})
        compressed = answer.headers.get("content-encoding") == "gzip"
        assert compressed is (len(answer.content) >= 1000)
        seen.add(compressed)

    assert seen == {False, True}


async def test_response_is_uncompressed_without_accept_encoding_gzip(client: AsyncClient) -> None:
    answer = await client.get("/openapi.json", headers={"Accept-Encoding": "identity"})

    assert len(answer.content) > 1000
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("path", ["/users", "/users/me", "/users/search", "/health", "/health/db"])
async def test_trailing_slash_is_served_without_a_redirect(
    client: AsyncClient, people: People, path: str
) -> None:
    headers = (await people.enter(is_superuser=True)).headers

    for form in (path, f"{path}/"):
        answer = await client.get(form, headers=headers, params={"q": "person"})
        assert (answer.status_code, answer.history) == (200, []), form


async def test_head_returns_the_headers_of_get_without_a_body(
    client: AsyncClient, people: People
) -> None:
    headers = (await people.enter(is_superuser=True)).headers
    for path in ("/users/me", "/users/", "/users", "/health", "/health/full"):
        get = await client.get(path, headers=headers)
        head = await client.head(path, headers=headers)
        assert (head.status_code, head.content) == (200, b""), path
        assert head.headers["content-length"] == get.headers["content-length"]
    assert (await client.head("/users/me")).status_code == 401


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/users/me", "GET, HEAD, OPTIONS, PATCH"),
        ("/users/", "GET, HEAD, OPTIONS"),
        ("/users", "GET, HEAD, OPTIONS"),
        ("/users/1", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("/auth/login", "OPTIONS, POST"),
    ],
)
async def test_options_and_405_list_the_allowed_methods(
    client: AsyncClient, path: str, allowed: str
) -> None:
    options = await client.options(path)
    assert (options.status_code, options.headers["allow"]) == (204, allowed)

    wrong = await client.put(path)
    check_refusal(wrong, 405, "Method Not Allowed")
    assert wrong.headers["allow"] == allowed


async def test_unknown_path_is_404(client: AsyncClient) -> None:
    for path in ("/nowhere", "/users/me/more", "/auth", "/v2"):
        check_refusal(await client.get(path), 404, "Not Found")


async def test_root_path_of_a_proxy_does_not_affect_routing(app: FastAPI, people: People) -> None:
    """The server's `--root-path` precedes each path; routes are declared without it."""
    person = await people.enter(is_superuser=True)
    under_a_path = ASGITransport(app, raise_app_exceptions=False, root_path="/under/a")
    async with AsyncClient(transport=under_a_path, base_url="http://test/under/a") as client:
        for path in ("/users", "/users/", "/users/me/", "/health/live/"):
            answer = await client.get(f"{settings.API_V1_PREFIX}{path}", headers=person.headers)
            assert answer.status_code == 200, path
        refused = await client.delete(f"{settings.API_V1_PREFIX}/users/me", headers=person.headers)
        assert (refused.status_code, "PATCH" in refused.headers["allow"]) == (405, True)
        for path in ("/admin", "/admin/"):
            to_login = await client.get(path)
            assert to_login.status_code == 303, path
            assert "/under/a/admin/login" in to_login.headers["location"]


async def test_malformed_json_body_is_422(client: AsyncClient) -> None:
    for path in ("/auth/login", "/auth/register"):
        answer = await client.post(
            path, content=b'{"email": x}', headers={"Content-Type": "application/json"}
        )

        assert answer.status_code == 422
        assert answer.json()["detail"] == "The body is not valid JSON"


async def test_missing_body_is_422(client: AsyncClient) -> None:
    answer = await client.post("/auth/login")
    assert answer.status_code == 422
    assert answer.json()["detail"] == "The request has no body"
