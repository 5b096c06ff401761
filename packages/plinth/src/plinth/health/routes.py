import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from plinth.accounts.deps import BearerToken, get_optional_user, resources_of
from plinth.accounts.queries.principal import Principal
from plinth.cache import cache
from plinth.config import settings
from plinth.errors import PlinthError
from plinth.health.readiness import Report, check_cache, check_database, draining, readiness_of
from plinth.health.schemas import (
    Alive,
    CacheHealth,
    DatabaseHealth,
    FullHealth,
    Health,
    PoolFigures,
    Ready,
    Services,
)
from plinth.http.openapi import optional_authentication
from plinth.resources.access import PUBLIC, access

router = APIRouter(prefix="/health", tags=["health"])

UNHEALTHY = 503


@optional_authentication
async def may_see_figures(request: Request, token: BearerToken) -> bool:
    """Return whether the caller is a superuser; False if the caller cannot be authenticated."""
    try:
        user: Principal | None = await get_optional_user(request, token)
    except PlinthError:
        return False
    return user is not None and user.is_superuser


Figures = Annotated[bool, Depends(may_see_figures)]


@router.get("")
@access(PUBLIC, queries=0)
async def get_health() -> Health:
    return Health(status="healthy", version=settings.VERSION, environment=settings.ENVIRONMENT)


@router.get("/live")
@access(PUBLIC, queries=0)
async def get_liveness() -> Alive:
    """Return 200 while the process responds. If this fails, restart the process."""
    return Alive(status="alive")


@router.get("/ready", responses={UNHEALTHY: {"model": Ready}})
@access(PUBLIC, queries=2)
async def get_readiness(request: Request, response: Response) -> Ready:
    """Return whether this process should get requests.

    It should not if the database is unavailable, or while the process shuts down. The result may
    be a second old.
    """
    ready = Ready(status="draining")
    if not draining:
        ready = _to_ready(await readiness_of(request.app).get())
    if ready.status in {"unavailable", "draining"}:
        response.status_code = UNHEALTHY
    return ready


@router.get("/db", responses={UNHEALTHY: {"model": DatabaseHealth}})
@access(PUBLIC, queries=2)
async def get_database_health(
    request: Request, response: Response, figures: Figures
) -> DatabaseHealth:
    database = resources_of(request).database
    healthy = await check_database(database)
    if not healthy:
        response.status_code = UNHEALTHY
    return DatabaseHealth(
        status="healthy" if healthy else "unhealthy",
        database="postgresql",
        connection="ok" if healthy else "failed",
        pool=PoolFigures(**database.pool_status()) if figures else None,
    )


@router.get("/redis", responses={UNHEALTHY: {"model": CacheHealth}})
@access(PUBLIC, queries=1)
async def get_cache_health(response: Response, figures: Figures) -> CacheHealth:
    facts = await check_cache(cache)
    if facts is None:
        response.status_code = UNHEALTHY
        return CacheHealth(status="unhealthy", cache="redis")
    return CacheHealth(status="healthy", cache="redis", **(facts if figures else {}))


@router.get("/full")
@access(PUBLIC, queries=1)
async def get_full_health(request: Request) -> FullHealth:
    database, facts = await asyncio.gather(
        check_database(resources_of(request).database), check_cache(cache)
    )
    services = Services(
        api="healthy",
        database="healthy" if database else "unhealthy",
        cache="healthy" if facts is not None else "unhealthy",
    )
    return FullHealth(
        status="healthy" if database and facts is not None else "degraded",
        services=services,
        version=settings.VERSION,
        environment=settings.ENVIRONMENT,
    )


def _to_ready(report: Report) -> Ready:
    available = "ready" if report.cache else "degraded"
    behind = report.database and not report.schema
    database = "healthy" if report.database else "unhealthy"
    return Ready(
        status=available if report.is_ready else "unavailable",
        database="behind" if behind else database,
        cache="healthy" if report.cache else "unhealthy",
    )
