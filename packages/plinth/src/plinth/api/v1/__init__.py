"""The table of contents. What stands under PUBLIC is open to anyone; all else asks who is there."""

from fastapi import APIRouter, Depends

from plinth.api.deps import get_current_user
from plinth.api.v1 import auth, credentials, health, user_sessions, users
from plinth.core.errors import Rejected, Unauthenticated, Unavailable
from plinth.core.problems import responses

PUBLIC = [auth.router, credentials.router, health.router]
PRIVATE = [auth.leaving, credentials.resending, users.router, user_sessions.router]

router = APIRouter()
for public in PUBLIC:
    router.include_router(public)
for private in PRIVATE:
    router.include_router(
        private,
        dependencies=[Depends(get_current_user)],
        responses=responses(Unauthenticated, Rejected, Unavailable),
    )
