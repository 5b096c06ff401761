"""The settings that say where PostgreSQL and Redis are, and how long to wait for them."""

from typing import Annotated, Self
from urllib.parse import quote

from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from pydantic_settings import BaseSettings

from app.core.service_urls import find_url_fault, quote_host, split_url

DEVELOPMENT = "development"
POSTGRES_SCHEMES = ("postgresql", "postgres")
PUBLIC_PASSWORD = "development-only"  # noqa: S105 - everyone can read it in compose.yaml

Hidden = Annotated[str, Field(repr=False)]
HiddenOrNone = Annotated[str | None, Field(repr=False)]


class ServiceSettings(BaseSettings):
    ENVIRONMENT: str = DEVELOPMENT

    POSTGRES_USER: str = "postgres"
    POSTGRES_PASSWORD: Hidden = ""
    POSTGRES_HOST: str = "localhost"
    POSTGRES_PORT: Annotated[int, Field(ge=1, le=65535)] = 5432
    POSTGRES_DB: str = "plinth"
    DATABASE_URL: HiddenOrNone = None
    TEST_DATABASE_URL: HiddenOrNone = None
    DB_POOL_SIZE: PositiveInt = 5
    DB_MAX_OVERFLOW: Annotated[int, Field(ge=0)] = 10
    DB_POOL_TIMEOUT: PositiveFloat = 30
    DB_POOL_RECYCLE: int = 3600
    DB_ECHO: bool = False
    DB_CONNECT_TIMEOUT: PositiveFloat = 3
    DB_WAIT_TIMEOUT: PositiveFloat = 1.5
    DB_STATEMENT_TIMEOUT: PositiveFloat = 2.5
    DB_LOCK_TIMEOUT: PositiveFloat = 2
    DB_IDLE_IN_TRANSACTION_TIMEOUT: PositiveFloat = 10
    DB_PGBOUNCER: bool = False
    DIRECT_DATABASE_URL: HiddenOrNone = None
    MIGRATION_TIMEOUT: PositiveInt = 900
    MIGRATION_LOCK_TIMEOUT: PositiveInt = 5

    REDIS_HOST: str = "localhost"
    REDIS_PORT: Annotated[int, Field(ge=1, le=65535)] = 6379
    REDIS_DB: Annotated[int, Field(ge=0)] = 0
    REDIS_PASSWORD: Hidden = ""
    REDIS_URL: HiddenOrNone = None
    TEST_REDIS_URL: HiddenOrNone = None
    CACHE_TIMEOUT_MS: PositiveInt = 100
    CACHE_PREFIX: str = "plinth"

    @property
    def is_development(self) -> bool:
        return self.ENVIRONMENT == DEVELOPMENT

    @model_validator(mode="after")
    def _find_services(self) -> Self:
        """Make each URL from its parts; with neither given, only development goes on (embedded)."""
        if self.DATABASE_URL is None and self._any_given("POSTGRES_"):
            self.DATABASE_URL = self._postgres_url()
        if self.REDIS_URL is None and self._any_given("REDIS_"):
            self.REDIS_URL = self._redis_url()
        direct = self.DIRECT_DATABASE_URL or self.DATABASE_URL
        for name, url, schemes in (
            ("DATABASE_URL", self.DATABASE_URL, POSTGRES_SCHEMES),
            ("DIRECT_DATABASE_URL", direct, POSTGRES_SCHEMES),
            ("REDIS_URL", self.REDIS_URL, ("redis", "rediss", "unix")),
        ):
            if url is None:
                if not self.is_development:
                    raise ValueError(
                        f"{name} is not set. Only ENVIRONMENT=development starts a server of its "
                        f"own; set {name} (or its parts, see .env.example)"
                    )
            elif fault := find_url_fault(url, schemes):
                raise ValueError(f"{name} {fault}")
            elif split_url(url).password == PUBLIC_PASSWORD and not self.is_development:
                raise ValueError(f"{name} has compose.yaml's public password: set one of your own")
        return self

    def _any_given(self, prefix: str) -> bool:
        # Of our own settings: compose's POSTGRES_INITDB_ARGS in the same .env names no server.
        given = self.model_fields_set & set(type(self).model_fields)
        return any(name.startswith(prefix) for name in given)

    def _postgres_url(self) -> str:
        password = f":{quote(self.POSTGRES_PASSWORD, safe='')}" if self.POSTGRES_PASSWORD else ""
        return (
            f"postgresql://{quote(self.POSTGRES_USER, safe='')}{password}"
            f"@{quote_host(self.POSTGRES_HOST)}:{self.POSTGRES_PORT}"
            f"/{quote(self.POSTGRES_DB, safe='')}"
        )

    def _redis_url(self) -> str:
        password = f":{quote(self.REDIS_PASSWORD, safe='')}@" if self.REDIS_PASSWORD else ""
        return f"redis://{password}{quote_host(self.REDIS_HOST)}:{self.REDIS_PORT}/{self.REDIS_DB}"
