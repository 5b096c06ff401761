"""The routes under `API_V1_PREFIX`.

PUBLIC routers are open to anyone. A request for any other needs a valid access token. The first
route that matches answers. `without(router, function)` of `plinth.http.routes` drops a route.
"""

from fastapi import APIRouter, Depends

from app.api.v1 import auth, health, users
from plinth.accounts.deps import get_current_user
from plinth.accounts.routes import auth as sessions
from plinth.accounts.routes import credentials, user_sessions
from plinth.errors import Rejected, Unauthenticated, Unavailable
from plinth.http.problems import responses

PUBLIC = [auth.router, sessions.router, credentials.router, health.router]
PRIVATE = [sessions.leaving, credentials.resending, users.router, user_sessions.router]

api_router = APIRouter()
for public in PUBLIC:
    api_router.include_router(public)
for private in PRIVATE:
    api_router.include_router(
        private,
        dependencies=[Depends(get_current_user)],
        responses=responses(Unauthenticated, Rejected, Unavailable),
    )
