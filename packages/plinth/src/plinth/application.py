"""`create_app`, with the middleware and the lifespan of the application."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from plinth.accounts.deps import Resources
from plinth.accounts.queries.api_key.principal import load_keys
from plinth.accounts.queries.principal import load_principals
from plinth.accounts.services.api_keys.usage import KeyUsage
from plinth.accounts.services.rotation import rotate_idle
from plinth.cache import cache
from plinth.config import SettingsError, fast_paths, settings
from plinth.db.database import Database
from plinth.db.dataloader import DataLoader
from plinth.db.models import Base
from plinth.db.privileges import check_role
from plinth.db.retention import retention_worker
from plinth.db.schema.state import read_state
from plinth.devservices.service_urls import running_services
from plinth.errors import PlinthError
from plinth.health import figures, root
from plinth.health.readiness import (
    Readiness,
    check_readiness,
    close_while_draining,
    draining_at_sigterm,
)
from plinth.http import openapi, problems
from plinth.http.bounds.body_budget import BodyBudget
from plinth.http.bounds.overload import InFlightLimitMiddleware
from plinth.http.bounds.request_limits import BodyLimitMiddleware, HeaderLimitsMiddleware
from plinth.http.hosting import AllowedHostsMiddleware, RootPathMiddleware
from plinth.http.lifespan import entered_in_thread, tuned_gc
from plinth.http.middleware import (
    CompressionMiddleware,
    ConventionsMiddleware,
    CORSMiddleware,
    HeadMiddleware,
    MethodNotAllowedMiddleware,
    RequestContextMiddleware,
    RouteTemplateMiddleware,
    SecurityHeadersMiddleware,
    ServerErrorMiddleware,
    TrailingSlashMiddleware,
    vary_by_client,
)
from plinth.http.protocol import bound_http_of_uvicorn
from plinth.http.request_metrics import MetricsMiddleware
from plinth.http.routes import refuse_duplicates
from plinth.observability import logs
from plinth.observability.tracing import FASTAPI_TELEMETRY_DISABLED, TracingMiddleware
from plinth.request.conventions import ByPrefix, check_prefixes
from plinth.request.cookies import replace_quadratic_parser
from plinth.resources.access import find_permission
from plinth.security import keys, passwords

logger = logging.getLogger(__name__)

CLUSTER_MODE = (
    "REDIS_URL points to a Redis in cluster mode, which rate limits and cache do not support: use "
    "one without it (ElastiCache: cluster mode disabled; Redis Cloud: OSS cluster API off), or "
    "Sentinel"
)

PROBES = [f"{settings.API_V1_PREFIX}/health/{probe}" for probe in ("live", "ready")]
SIGN_IN_PATHS = (f"{settings.API_V1_PREFIX}/auth/", "/admin/login")
# Requests that wait for a hash, and requests that only wait before a refusal.
MAX_SIGN_INS = settings.MAX_SIGN_INS_IN_FLIGHT or passwords.QUEUE + settings.MAX_IN_FLIGHT // 4
# Outside of the middleware that `app.add_middleware` adds, which must see the routed path.
OUTERMOST = [
    *([Middleware(RootPathMiddleware, root_path=settings.ROOT_PATH)] if settings.ROOT_PATH else []),
    Middleware(TrailingSlashMiddleware),
]
MIDDLEWARE = [
    Middleware(
        RequestContextMiddleware,
        trusted_proxies=settings.TRUSTED_PROXIES,
        adding=[
            SecurityHeadersMiddleware(https_only=not settings.is_development),
            close_while_draining,
            vary_by_client,
        ],
    ),
    Middleware(TracingMiddleware),
    Middleware(MetricsMiddleware),
    Middleware(HeaderLimitsMiddleware, limit=settings.MAX_HEADER_SIZE),
    *(
        [Middleware(AllowedHostsMiddleware, hosts=settings.ALLOWED_HOSTS, exempt_paths=PROBES)]
        if settings.ALLOWED_HOSTS
        else []
    ),
    Middleware(
        CORSMiddleware,
        allow_origins=settings.BACKEND_CORS_ORIGINS,
        allow_credentials=True,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["X-Request-ID", "ETag", "Retry-After", "RateLimit", "RateLimit-Policy"],
    ),
    Middleware(ServerErrorMiddleware),
    Middleware(
        InFlightLimitMiddleware,
        limit=settings.MAX_IN_FLIGHT,
        exempt_paths=PROBES,
        prefix_limits=dict.fromkeys(SIGN_IN_PATHS, MAX_SIGN_INS),
    ),
    Middleware(
        BodyLimitMiddleware,
        limit=settings.MAX_BODY_SIZE,
        limits=dict.fromkeys(SIGN_IN_PATHS, settings.MAX_AUTH_BODY_SIZE),
        seconds=settings.BODY_TIMEOUT,
        budget=BodyBudget(settings.MAX_BUFFERED_BODY_BYTES),
    ),
    Middleware(CompressionMiddleware, minimum_size=1000),
    Middleware(HeadMiddleware),
    Middleware(MethodNotAllowedMiddleware),
]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the resources of the process, and close them in reverse order."""
    bound_http_of_uvicorn()
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(entered_in_thread(running_services(settings)))
        database = Database(services.database_url, settings, Base.metadata)
        stack.push_async_callback(database.close)
        await cache.open(
            services.redis_url, prefix=settings.CACHE_PREFIX, timeout_ms=settings.CACHE_TIMEOUT_MS
        )
        stack.push_async_callback(cache.close)
        await _refuse_cluster_mode()
        drain_seconds = 0 if settings.is_development else settings.DRAIN_SECONDS
        stack.enter_context(draining_at_sigterm(drain_seconds))
        app.state.readiness = Readiness(lambda: check_readiness(database, cache))
        app.state.resources = Resources(
            database,
            principals=database.reader.batched(load_principals),
            rotations=DataLoader(partial(rotate_idle, database)),
            api_keys=database.reader.batched(load_keys),
            key_usage=KeyUsage(database),
        )
        stack.push_async_callback(app.state.resources.key_usage.close)
        await _warn_of_missing_migrations(database)
        await check_role(database)
        if settings.MAIL_WORKER:
            from plinth.accounts.services.mail_worker import mail_worker  # noqa: PLC0415 - imports all of mail
            from plinth.organizations.services.retention import RULES  # noqa: PLC0415

            await stack.enter_async_context(mail_worker(database))
            await stack.enter_async_context(retention_worker(database, RULES))
        if settings.OTEL_EXPORTER_OTLP_ENDPOINT:
            from plinth.observability.tracing.otlp import sending_traces  # noqa: PLC0415 - costs 0.2 s

            await stack.enter_async_context(sending_traces(settings.OTEL_EXPORTER_OTLP_ENDPOINT))
        if settings.METRICS_PORT is not None:
            await stack.enter_async_context(figures.shown(database, settings.METRICS_PORT))
        stack.enter_context(tuned_gc())
        yield


def create_app(router: APIRouter, *, conventions: ByPrefix | None = None) -> FastAPI:
    """Create the application.

    Args:
        router: the routes under `API_V1_PREFIX`.
        conventions: other error formats and authentication schemes, by path prefix
            (docs/how-to/composition.md).

    Raises:
        ValueError: a route is unreachable, for example declared twice; or a prefix is not valid.
    """
    conventions = conventions or {}
    check_prefixes(conventions)
    logs.capture_loggers()
    fast_paths.log_state()
    replace_quadratic_parser()
    _load_keys()
    app = FastAPI(
        title=settings.PROJECT_NAME,
        version=settings.VERSION,
        debug=False,  # settings.DEBUG never shows a traceback to a client
        openapi_url=f"{settings.API_V1_PREFIX}/openapi.json" if settings.shows_docs else None,
        docs_url=None,  # FastAPI's pages load scripts from other hosts; see http/docs.py
        redoc_url=None,
        generate_unique_id_function=openapi.operation_id,
        redirect_slashes=False,  # a redirect loses the Authorization header
        middleware=_list_middleware(conventions),
        telemetry=FASTAPI_TELEMETRY_DISABLED,  # TracingMiddleware records less personal data
        lifespan=lifespan,
    )
    app.state.conventions = conventions  # for the contract tests
    app.build_middleware_stack = partial(_build_stack, app)  # type: ignore[method-assign]
    problems.install(app)
    openapi.install(
        app, conventions, find_permission=lambda endpoint: find_permission({"endpoint": endpoint})
    )
    app.include_router(root.router)
    app.include_router(router, prefix=settings.API_V1_PREFIX)
    refuse_duplicates(app)
    # Import these only if they are enabled.
    if settings.shows_docs:
        from plinth.http import docs  # noqa: PLC0415

        docs.install(app)
    if settings.has_account_page:
        from plinth.accounts import page  # noqa: PLC0415

        page.install(app)
    if settings.has_admin:
        from plinth import admin  # noqa: PLC0415

        admin.install(app)
    return app


def _build_stack(app: FastAPI) -> ASGIApp:
    added = app.user_middleware
    app.user_middleware = [*OUTERMOST, *added]
    try:
        return FastAPI.build_middleware_stack(app)
    finally:
        app.user_middleware = added


def _list_middleware(conventions: ByPrefix) -> list[Middleware]:
    context, *others = MIDDLEWARE
    applying = [Middleware(ConventionsMiddleware, conventions=conventions)] if conventions else []
    return [context, *applying, *others, *_innermost()]


def _innermost() -> list[Middleware]:
    if not fast_paths.are_on(fast_paths.DISPATCH):
        return [Middleware(RouteTemplateMiddleware)]
    from plinth.http.dispatch import Dispatch  # noqa: PLC0415 - names that another version may lack

    return [
        Middleware(Dispatch, skipped=(RouteTemplateMiddleware,)),
        Middleware(RouteTemplateMiddleware),
    ]


def _load_keys() -> None:
    try:
        keys.ring.load()
    except keys.KeyFileError as error:
        raise SettingsError([str(error)]) from None


async def _refuse_cluster_mode() -> None:
    """Raise if Redis is in cluster mode. If Redis is down, readiness reports it later."""
    info = await cache.call(lambda redis: redis.info("cluster"), None)
    if info and info.get("cluster_enabled"):
        raise SettingsError([CLUSTER_MODE])


async def _warn_of_missing_migrations(database: Database) -> None:
    try:
        difference = (await read_state(database)).compare()
    except PlinthError:
        logger.warning(
            "the database is unavailable: requests that need it get a 503 until it is back"
        )
        return
    if difference:
        logger.warning("the database is %s. %s", *difference)
