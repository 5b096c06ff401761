"""The modules and names that the guide documents can be imported and work."""

from importlib import import_module
from uuid import uuid4

import pytest

from app.core import database as app_database
from app.core import security
from plinth.db import Database
from plinth.errors import Unauthenticated

NAMES = {
    "app.main": "app",
    "app.core.config": "Settings settings",
    "app.core.database": "Base get_db check_db_connection get_pool_status",
    "app.core.security": (
        "create_access_token create_refresh_token verify_token verify_password get_password_hash"
    ),
    "app.core.cache": "get_cache set_cache delete_cache clear_cache_pattern cached",
    "app.api.deps": (
        "oauth2_scheme get_current_user get_current_active_superuser get_current_user_optional"
    ),
    "app.api.v1": "api_router auth users health",
    "app.api.v1.auth": "router",
    "app.api.v1.users": "router",
    "app.api.v1.health": "router",
    "app.models": "BaseModel User",
    "app.models.base": "BaseModel",
    "app.models.user": "User",
    "app.schemas.auth": "Token TokenPayload LoginRequest RefreshTokenRequest",
    "app.schemas.user": ("UserBase UserCreate UserUpdate UserResponse UserInDB UserListResponse"),
    "app.crud.base": "CRUDBase",
    "app.crud.crud_user": "CRUDUser user_crud",
}


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, all_ in NAMES.items() for name in all_.split()]
)
def test_a_documented_name_can_be_imported(module: str, name: str) -> None:
    assert hasattr(import_module(module), name)


async def test_only_the_right_password_matches_its_hash() -> None:
    hashed = await security.get_password_hash("Test@123")
    assert await security.verify_password("Test@123", hashed)
    assert not await security.verify_password("Test@124", hashed)
    assert not await security.verify_password("Test@123", None)


def test_verify_token_accepts_access_tokens_and_rejects_refresh_tokens() -> None:
    session = uuid4()
    token = security.verify_token(security.create_access_token(7, session))
    assert (token.user_id, token.session_id) == (7, session)
    with pytest.raises(Unauthenticated):
        security.verify_token(security.create_refresh_token(session))


async def test_the_database_responds_and_reports_its_pool(database: Database) -> None:
    assert await app_database.check_db_connection(database)
    assert {"size", "checked_out"} <= set(app_database.get_pool_status(database))
