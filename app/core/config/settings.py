"""Every setting that is no address of a server: names, types and defaults."""

from collections.abc import Iterable
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.core.config.services import Hidden, ServiceSettings
from app.core.rates import check_rate
from app.core.secret_key import find_weakness, keep_development_key

MAKE_A_KEY = "python -c 'import secrets; print(secrets.token_urlsafe(48))'"

RateText = Annotated[str, AfterValidator(check_rate)]


class Settings(ServiceSettings, BaseSettings):  # said once more for ruff, which sees one file
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
    DEBUG: bool = False
    DATA_DIR: Path = Path(".data")

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
    PASSWORD_BLOCKLIST: Literal["off", "warn", "refuse"] | None = None
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
    LIMIT_IPV6_SITE_FACTOR: Annotated[int, Field(ge=1, le=1000)] = 10
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
    OTEL_EXPORTER_OTLP_ENDPOINT: Annotated[str, Field(pattern="^https?://")] | None = None
    SLOW_QUERY_MS: Annotated[int, Field(ge=0)] = 500

    BACKEND_CORS_ORIGINS: list[str] = ["http://localhost:3000", "http://localhost:8000"]
    DOCS_ENABLED: bool | None = None
    ADMIN_ENABLED: bool | None = None
    ADMIN_SESSION_HOURS: PositiveInt = 12
    TRUSTED_PROXIES: list[IPv4Network | IPv6Network] = []
    MAX_HEADER_SIZE: PositiveInt = 32 * 1024
    MAX_BODY_SIZE: PositiveInt = 1024 * 1024
    HEADER_TIMEOUT: PositiveFloat = 10
    BODY_TIMEOUT: PositiveFloat = 30
    WRITE_TIMEOUT: PositiveFloat = 30
    MAX_IN_FLIGHT: PositiveInt = 400
    MAX_SIGN_INS_IN_FLIGHT: PositiveInt | None = None
    DRAIN_SECONDS: Annotated[float, Field(ge=0)] = 3
    DEFAULT_PAGE_SIZE: PositiveInt = 20
    MAX_PAGE_SIZE: PositiveInt = 100

    @property
    def shows_docs(self) -> bool:
        return self.is_development if self.DOCS_ENABLED is None else self.DOCS_ENABLED

    @property
    def has_admin(self) -> bool:
        return self.is_development if self.ADMIN_ENABLED is None else self.ADMIN_ENABLED

    @property
    def password_blocklist(self) -> Literal["off", "warn", "refuse"]:
        return self.PASSWORD_BLOCKLIST or ("warn" if self.is_development else "refuse")

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

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        # Of settings that we do not know we do not know either whether they are secrets.
        unknown = self.model_extra or {}
        return ((name, value) for name, value in super().__repr_args__() if name not in unknown)
