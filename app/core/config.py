"""Settings, read once from the environment and `.env`: `from app.core.config import settings`."""

from collections.abc import Iterable
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import (
    AfterValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.core.rates import check_rate
from app.core.secret_key import find_weakness, keep_development_key
from app.core.service_urls import find_url_fault, quote_host

DEVELOPMENT = "development"
POSTGRES_SCHEMES = ("postgresql", "postgres")
PUBLIC_PASSWORD = "development-only"  # noqa: S105 - everyone can read it in compose.yaml
MAKE_A_KEY = "python -c 'import secrets; print(secrets.token_urlsafe(48))'"

Hidden = Annotated[str, Field(repr=False)]
HiddenOrNone = Annotated[str | None, Field(repr=False)]
RateText = Annotated[str, AfterValidator(check_rate)]


class SettingsError(SystemExit):
    """The settings do not hold together; the text says which, and what to do.

    It is a SystemExit, so that uvicorn, alembic and `plinth` end with the sentence and not with a
    traceback around it.
    """


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,  # `REDIS_PASSWORD=` in a compose file means none
        case_sensitive=True,
        extra="allow",
        hide_input_in_errors=True,
    )

    PROJECT_NAME: str = "MyApp"
    VERSION: str = "1.0.0"
    API_V1_PREFIX: str = "/api/v1"
    ENVIRONMENT: str = DEVELOPMENT
    DEBUG: bool = False
    DATA_DIR: Path = Path(".data")

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

    SECRET_KEY: Hidden = ""
    ALGORITHM: Literal["HS256", "HS384", "HS512"] = "HS256"
    KEYS_FILE: Path | None = None
    ACCESS_TOKEN_EXPIRE_MINUTES: PositiveInt = 30
    REFRESH_TOKEN_EXPIRE_DAYS: PositiveInt = 7
    TOKEN_ISSUER: str = "plinth"  # noqa: S105 - a name, not a secret
    TOKEN_AUDIENCE: str = "plinth"  # noqa: S105
    SESSION_IDLE_DAYS: PositiveInt = 14
    SESSION_ABSOLUTE_DAYS: PositiveInt = 90
    LOGIN_FAILURE_MS: Annotated[int, Field(ge=0)] = 400
    ARGON2_MEMORY_KIB: PositiveInt = 19456
    ARGON2_TIME_COST: PositiveInt = 2
    BREACH_CHECK_URL: Annotated[str, Field(pattern="^https?://")] | None = None
    PASSWORD_THREADS: PositiveInt | None = None
    PASSWORD_QUEUE: PositiveInt | None = None
    PASSWORD_WAIT_MS: PositiveInt = 1000
    PASSWORD_RESET_MINUTES: PositiveInt = 30
    EMAIL_VERIFY_HOURS: PositiveInt = 24

    FRONTEND_URL: str = "http://localhost:3000"
    MAIL_FROM: str = "no-reply@localhost"
    SMTP_HOST: str = ""
    SMTP_PORT: Annotated[int, Field(ge=1, le=65535)] = 587
    SMTP_USERNAME: str = ""
    SMTP_PASSWORD: Hidden = ""
    SMTP_TLS: Literal["starttls", "tls", "none"] = "starttls"
    SMTP_CA_FILE: Path | None = None
    SMTP_TIMEOUT: PositiveFloat = 10
    MAIL_WORKER: bool = True
    MAIL_CONCURRENCY: PositiveInt = 4
    MAIL_POLL_SECONDS: PositiveFloat = 5
    MAIL_LEASE_SECONDS: PositiveFloat = 60
    MAIL_RETRY_SECONDS: PositiveFloat = 10
    MAIL_MAX_ATTEMPTS: PositiveInt = 8
    MAIL_KEEP_DAYS: PositiveInt = 30

    LIMITS_ENABLED: bool = True
    LIMIT_LOGIN_ACCOUNT_IP: RateText = "5/5m"
    LIMIT_LOGIN_ACCOUNT: RateText = "10/5m"
    LIMIT_LOGIN_ACCOUNT_DAY: RateText = "50/1d"
    LIMIT_LOGIN_IP: RateText = "20/5m"
    LIMIT_LOGIN_DEVICE: RateText = "10/5m"
    LIMIT_LOGIN_DEVICE_DAY: RateText = "50/1d"
    LIMIT_PASSWORD_SESSION: RateText = "5/5m"  # noqa: S105 - how often, not a secret
    LIMIT_REGISTER_IP: RateText = "20/1h"
    LIMIT_REFRESH_SESSION: RateText = "30/5m"
    LIMIT_FORGOT_ACCOUNT: RateText = "5/1d"
    LIMIT_FORGOT_IP: RateText = "20/1h"
    LIMIT_VERIFY_ACCOUNT: RateText = "10/1d"

    LOG_LEVEL: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    LOG_FORMAT: Literal["pretty", "json"] | None = None
    METRICS_PORT: Annotated[int, Field(ge=1, le=65535)] | None = None
    METRICS_HOST: str = "127.0.0.1"
    SLOW_QUERY_MS: Annotated[int, Field(ge=0)] = 500

    BACKEND_CORS_ORIGINS: list[str] = ["http://localhost:3000", "http://localhost:8000"]
    DOCS_ENABLED: bool | None = None
    ADMIN_ENABLED: bool | None = None
    TRUSTED_PROXIES: list[IPv4Network | IPv6Network] = []
    MAX_BODY_SIZE: PositiveInt = 1024 * 1024
    HEADER_TIMEOUT: PositiveFloat = 10
    BODY_TIMEOUT: PositiveFloat = 30
    MAX_IN_FLIGHT: PositiveInt = 200
    DRAIN_SECONDS: Annotated[float, Field(ge=0)] = 3
    DEFAULT_PAGE_SIZE: PositiveInt = 20
    MAX_PAGE_SIZE: PositiveInt = 100

    @property
    def is_development(self) -> bool:
        return self.ENVIRONMENT == DEVELOPMENT

    @property
    def shows_docs(self) -> bool:
        return self.is_development if self.DOCS_ENABLED is None else self.DOCS_ENABLED

    @property
    def has_admin(self) -> bool:
        return self.is_development if self.ADMIN_ENABLED is None else self.ADMIN_ENABLED

    @model_validator(mode="after")
    def _check_pages(self) -> Self:
        if self.DEFAULT_PAGE_SIZE > self.MAX_PAGE_SIZE:
            raise ValueError("DEFAULT_PAGE_SIZE is larger than MAX_PAGE_SIZE")
        return self

    @model_validator(mode="after")
    def _check_mail(self) -> Self:
        if "@" not in parseaddr(self.MAIL_FROM)[1]:
            raise ValueError("MAIL_FROM is no address: give one like 'Plinth <mail@example.com>'")
        if urlsplit(self.FRONTEND_URL).scheme not in ("http", "https"):
            raise ValueError("FRONTEND_URL must begin with http:// or https://")
        if not self.SMTP_HOST:
            return self
        if self.SMTP_TLS == "none" and self.SMTP_USERNAME:
            raise ValueError("SMTP_TLS=none would send SMTP_PASSWORD for anyone to read")
        for name in ("MAIL_FROM", "FRONTEND_URL"):
            if not self.is_development and name not in self.model_fields_set:
                raise ValueError(f"{name} is not set, and mails to people need it")
        return self

    @model_validator(mode="after")
    def _find_services(self) -> Self:
        """Make each URL from its parts; with neither given, only development goes on (embedded)."""
        if self.DATABASE_URL is None and self._any_given("POSTGRES_"):
            self.DATABASE_URL = self._postgres_url()
        if self.REDIS_URL is None and self._any_given("REDIS_"):
            self.REDIS_URL = self._redis_url()
        for name, url, schemes in (
            ("DATABASE_URL", self.DATABASE_URL, POSTGRES_SCHEMES),
            (
                "DIRECT_DATABASE_URL",
                self.DIRECT_DATABASE_URL or self.DATABASE_URL,
                POSTGRES_SCHEMES,
            ),
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
            elif urlsplit(url).password == PUBLIC_PASSWORD and not self.is_development:
                raise ValueError(f"{name} has compose.yaml's public password: set one of your own")
        return self

    @model_validator(mode="after")
    def _find_secret_key(self) -> Self:
        if not self.SECRET_KEY and self.is_development:
            self.SECRET_KEY = keep_development_key(self.DATA_DIR)
        weakness = find_weakness(self.SECRET_KEY, self.ALGORITHM)
        if weakness and not self.is_development:
            raise ValueError(f"SECRET_KEY {weakness}. Make one with: {MAKE_A_KEY}")
        return self

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if not self.LIMITS_ENABLED and not self.is_development:
            raise ValueError("LIMITS_ENABLED may be false only with ENVIRONMENT=development")
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

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        # Of settings that we do not know we do not know either whether they are secrets.
        unknown = self.model_extra or {}
        return ((name, value) for name, value in super().__repr_args__() if name not in unknown)


def load_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: one line for each setting that is missing or wrong, none with its value.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [_describe(detail) for detail in error.errors(include_input=False)]
        raise SettingsError("Plinth cannot start:\n" + "\n".join(lines)) from None
    except UnicodeDecodeError:
        raise SettingsError("Plinth cannot start:\n  .env is not UTF-8") from None
    except (OSError, ValueError) as error:
        # pydantic-settings' own: a list that is not JSON, a .env that cannot be read
        raise SettingsError(f"Plinth cannot start:\n  {error} (a list is JSON)") from None


def _describe(detail: Any) -> str:
    name = ".".join(str(part) for part in detail["loc"])
    message = detail["msg"].removeprefix("Value error, ")
    return f"  {name}: {message}" if name else f"  {message}"


settings = load_settings()
