"""An application with `AUTH_COOKIES=true` and a route of a team that counts its calls."""

from fastapi import APIRouter, Request, WebSocket

from app.api.deps import CurrentUser, OptionalUser, oauth2_scheme
from app.api.v1 import api_router
from plinth import application
from plinth.errors import PlinthError

own = APIRouter(prefix="/own", include_in_schema=False)
calls: list[str] = []
handshakes: list[str] = []


@own.api_route("/private", methods=["POST", "PUT", "PATCH", "DELETE"])
async def write_private(user: CurrentUser) -> int:
    calls.append(user.username)
    return len(calls)


@own.post("/optional")
async def write_optional(user: OptionalUser) -> int:
    if user:
        calls.append(user.username)
    return len(calls)


@own.get("/calls")
async def list_calls() -> dict[str, list[str]]:
    return {"calls": calls, "handshakes": handshakes}


@own.get("/live")
async def shake_hands(request: Request) -> None:
    """Authenticate a WebSocket handshake. Without a library for WebSockets, it is a GET."""
    scope = {"type": "websocket", "headers": request.scope["headers"]}
    try:
        token = await oauth2_scheme(WebSocket(scope, request.receive, request.receive))  # type: ignore[arg-type]
    except PlinthError as error:
        handshakes.append(error.code)
    else:
        handshakes.append("accepted" if token else "anonymous")


router = APIRouter()
router.include_router(own)
router.include_router(api_router)
app = application.create_app(router)
