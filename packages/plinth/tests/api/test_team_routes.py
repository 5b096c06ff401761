"""Routes that a team adds to the real application behave as FastAPI's documentation says."""

import json
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse, Response

from plinth.testing.asgi import send
from tests.support.application import create_app


@pytest.fixture
def app() -> FastAPI:
    app, router = create_app(), APIRouter()

    @router.get("/refused/{status}")
    async def refuse(status: int) -> None:
        raise HTTPException(status, headers={"X-More": "1"})

    @router.get("/explained")
    async def explain() -> None:
        raise HTTPException(409, {"field": "name", "taken": True})

    @router.head("/sized")
    async def sized() -> Response:
        return Response(headers={"X-Size": "5"})

    @router.get("/both/{name}")
    async def get_both(name: str) -> str:
        return name

    @router.head("/both/{name}")
    async def head_both(name: str) -> Response:
        return Response(headers={"X-Head": name})

    @router.get("/files/{path:path}")
    async def file(path: str) -> dict[str, str]:
        return {"path": path}

    app.include_router(router, prefix="/team")

    async def plain(request: Request) -> Response:
        return PlainTextResponse(request.method)

    app.add_route("/team/plain", plain, methods=["POST"])
    app.get("/team/plain")(lambda: "get")
    return app


@pytest.mark.parametrize(("status", "code"), [(418, "im_a_teapot"), (499, "http_499")])
async def test_any_error_status_is_a_problem_document(app: FastAPI, status: int, code: str) -> None:
    answer = await send(app, "GET", f"/team/refused/{status}")
    assert answer.status == status
    assert json.loads(answer.body)["code"] == code
    assert answer.headers["x-more"] == "1"


async def test_a_304_has_no_body(app: FastAPI) -> None:
    answer = await send(app, "GET", "/team/refused/304")
    assert (answer.status, answer.body) == (304, b"")


async def test_non_text_detail_is_json(app: FastAPI) -> None:
    problem: dict[str, Any] = json.loads((await send(app, "GET", "/team/explained")).body)
    assert problem["data"] == {"field": "name", "taken": True}
    assert (problem["detail"], problem["code"]) == ("Conflict", "conflict")


async def test_declared_head_route_is_called(app: FastAPI) -> None:
    assert (await send(app, "HEAD", "/team/sized")).headers["x-size"] == "5"
    assert (await send(app, "HEAD", "/team/both/it")).headers["x-head"] == "it"
    assert (await send(app, "GET", "/team/both/it")).body == b'"it"'
    assert (await send(app, "HEAD", "/team/files/a")).body == b""


@pytest.mark.parametrize("path", ["", "a", "a/b", "a/"])
async def test_path_parameter_can_be_empty_or_end_with_a_slash(app: FastAPI, path: str) -> None:
    answer = await send(app, "GET", f"/team/files/{path}")
    assert json.loads(answer.body) == {"path": path}


async def test_starlette_route_works_beside_a_route_of_the_same_path(app: FastAPI) -> None:
    assert (await send(app, "POST", "/team/plain")).body == b"POST"
    assert (await send(app, "GET", "/team/plain")).body == b'"get"'
    assert (await send(app, "PUT", "/team/plain")).status == 405


async def test_mount_before_a_route_handles_its_other_methods(app: FastAPI) -> None:
    below, hosted = FastAPI(), FastAPI()
    below.post("/it")(lambda: "mounted")
    hosted.post("/team/explained")(lambda: "hosted")
    app.mount("/mounted", below)
    app.get("/mounted/it")(lambda: "own")
    app.host("other.example.com", hosted)
    assert (await send(app, "POST", "/mounted/it")).body == b'"mounted"'
    other = [(b"host", b"other.example.com")]
    assert (await send(app, "POST", "/team/explained")).status == 405
    assert (await send(app, "POST", "/team/explained", headers=other)).body == b'"hosted"'
