from fastapi import APIRouter, Response

from plinth.config import settings
from plinth.health.schemas import Welcome
from plinth.resources.access import PUBLIC, access
from plinth.security import keys
from plinth.security.keys.key import JwkSet, show_public_keys

router = APIRouter(tags=["root"])

# Well below the ten minutes before a new key of `plinth keys rotate` signs.
JWKS_MAX_AGE = 300


@router.get("/")
@access(PUBLIC, queries=0)
async def welcome() -> Welcome:
    return Welcome(
        message=f"Welcome to {settings.PROJECT_NAME}",
        version=settings.VERSION,
        docs=f"{settings.ROOT_PATH}/docs" if settings.shows_docs else None,
        redoc=f"{settings.ROOT_PATH}/redoc" if settings.shows_docs else None,
        health=f"{settings.ROOT_PATH}{settings.API_V1_PREFIX}/health",
    )


@router.get("/.well-known/jwks.json", response_model_exclude_none=True)
@access(PUBLIC, queries=0)
async def list_public_keys(response: Response) -> JwkSet:
    """Return the public keys with which other services verify access tokens (RFC 7517)."""
    response.headers["Cache-Control"] = f"public, max-age={JWKS_MAX_AGE}"
    return show_public_keys(keys.ring.verifying_keys)
