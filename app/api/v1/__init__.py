"""The routes under `API_V1_PREFIX`.

Routers in PUBLIC are open to anyone; those in PRIVATE require a valid access token. Those in
MEMBERS, below `/organizations/{slug}`, require that of a member of the organization. The first
matching route responds. `without_routes(router, function)` of `plinth.http` drops a route. Each
route declares its callers and its number of queries: `@access(USER, queries=2)`.
"""

from fastapi import APIRouter, Depends

from app.api.v1 import auth, health, users
from plinth.accounts.deps import get_current_user
from plinth.accounts.routes import api_keys, credentials, user_sessions
from plinth.accounts.routes import auth as sessions
from plinth.errors import NotFound, PermissionDenied, Rejected, Unauthenticated, Unavailable
from plinth.http import responses
from plinth.organizations import routes as organizations
from plinth.organizations.deps import get_member

PUBLIC = [
    auth.router,
    sessions.public_router,
    credentials.public_router,
    api_keys.public_router,
    health.router,
]
PRIVATE = [
    sessions.private_router,
    credentials.private_router,
    users.router,
    user_sessions.router,
    organizations.router,
]
MEMBERS = [organizations.member_router]

api_router = APIRouter()
for public in PUBLIC:
    api_router.include_router(public)
for private in PRIVATE:
    api_router.include_router(
        private,
        dependencies=[Depends(get_current_user)],
        responses=responses(Unauthenticated, Rejected, Unavailable),
    )
for member in MEMBERS:
    api_router.include_router(
        member,
        dependencies=[Depends(get_member)],
        responses=responses(Unauthenticated, Rejected, PermissionDenied, NotFound, Unavailable),
    )
