"""The settings of PostgreSQL and Redis: addresses, pools and timeouts."""

from collections.abc import Container
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import Field
from pydantic_settings import BaseSettings

from plinth.config.types import (
    CachePrefix,
    Hidden,
    Host,
    Milliseconds,
    Port,
    PostgresHost,
    PostgresUrlOrNone,
    RedisUrlOrNone,
    Seconds,
    is_service_link,
)
from plinth.config.urls.service_urls import quote_host

DEVELOPMENT = "development"
PARTS = {"DATABASE_URL": "POSTGRES_", "REDIS_URL": "REDIS_"}


def drop_unneeded(values: dict[str, Any], known: Container[str]) -> dict[str, Any]:
    """Drop the parts of URLs that are set, and unneeded ports that Kubernetes set (service links).

    They are not used, so they need not be valid.
    """
    unread = {
        name
        for url, prefix in PARTS.items()
        for name in values
        if values.get(url) and name.startswith(prefix) and name != url and name in known
    }
    for port, needed_by in (("SMTP_PORT", "SMTP_HOST"), ("METRICS_PORT", None)):
        if is_service_link(values.get(port)) and not (needed_by and values.get(needed_by)):
            unread.add(port)
    return {name: value for name, value in values.items() if name not in unread}


class ServiceSettings(BaseSettings):
    ENVIRONMENT: str = DEVELOPMENT

    POSTGRES_USER: str = "postgres"
    POSTGRES_PASSWORD: Hidden = ""
    POSTGRES_HOST: PostgresHost = "localhost"
    POSTGRES_PORT: Port = 5432
    POSTGRES_DB: str = "plinth"
    DATABASE_URL: PostgresUrlOrNone = None
    POSTGRES_MIGRATION_USER: str = ""
    POSTGRES_MIGRATION_PASSWORD: Hidden = ""
    MIGRATION_DATABASE_URL: PostgresUrlOrNone = None
    TEST_DATABASE_URL: PostgresUrlOrNone = None
    DB_POOL_SIZE: Annotated[int, Field(ge=1, le=1000)] = 5
    DB_MAX_OVERFLOW: Annotated[int, Field(ge=0, le=1000)] = 10
    DB_POOL_TIMEOUT: Seconds = 30
    DB_POOL_RECYCLE: Annotated[int, Field(ge=-1, le=604_800)] = 3600
    DB_ECHO: bool = False
    DB_CONNECT_TIMEOUT: Seconds = 3
    DB_WAIT_TIMEOUT: Seconds = 1.5
    DB_STATEMENT_TIMEOUT: Seconds = 2.5
    DB_LOCK_TIMEOUT: Seconds = 2
    DB_IDLE_IN_TRANSACTION_TIMEOUT: Seconds = 10
    DB_PGBOUNCER: bool = False
    DIRECT_DATABASE_URL: PostgresUrlOrNone = None
    MIGRATION_TIMEOUT: Annotated[int, Field(ge=1, le=604_800)] = 900
    MIGRATION_LOCK_TIMEOUT: Annotated[int, Field(ge=1, le=86_400)] = 5

    REDIS_HOST: Host = "localhost"
    REDIS_PORT: Port = 6379
    REDIS_DB: Annotated[int, Field(ge=0, le=65_535)] = 0
    REDIS_PASSWORD: Hidden = ""
    REDIS_URL: RedisUrlOrNone = None
    TEST_REDIS_URL: RedisUrlOrNone = None
    CACHE_TIMEOUT_MS: Milliseconds = 100
    CACHE_PREFIX: CachePrefix = "plinth"

    @property
    def is_development(self) -> bool:
        return self.ENVIRONMENT == DEVELOPMENT

    def make_urls(self) -> None:
        """Set each missing URL from its parts, if any of them is set."""
        if self.DATABASE_URL is None and self._any_given("POSTGRES_"):
            self.DATABASE_URL = self._postgres_url(self.POSTGRES_USER, self.POSTGRES_PASSWORD)
            if self.MIGRATION_DATABASE_URL is None and self.POSTGRES_MIGRATION_USER:
                self.MIGRATION_DATABASE_URL = self._postgres_url(
                    self.POSTGRES_MIGRATION_USER, self.POSTGRES_MIGRATION_PASSWORD
                )
        if self.REDIS_URL is None and self._any_given("REDIS_"):
            self.REDIS_URL = self._redis_url()

    def _any_given(self, prefix: str) -> bool:
        # Only known settings: .env may contain others for compose, such as POSTGRES_INITDB_ARGS.
        given = self.model_fields_set & set(type(self).model_fields)
        return any(name.startswith(prefix) for name in given)

    def _postgres_url(self, user: str, password: str) -> str:
        secret = f":{quote(password, safe='')}" if password else ""
        return (
            f"postgresql://{quote(user, safe='')}{secret}"
            f"@{quote_host(self.POSTGRES_HOST)}:{self.POSTGRES_PORT}"
            f"/{quote(self.POSTGRES_DB, safe='')}"
        )

    def _redis_url(self) -> str:
        password = f":{quote(self.REDIS_PASSWORD, safe='')}@" if self.REDIS_PASSWORD else ""
        return f"redis://{password}{quote_host(self.REDIS_HOST)}:{self.REDIS_PORT}/{self.REDIS_DB}"
