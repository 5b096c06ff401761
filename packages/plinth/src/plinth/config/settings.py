"""The settings with their types and defaults; `services.py` has those of PostgreSQL and Redis."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from plinth.config.checks import complete, is_installed
from plinth.config.deprecated import rename_deprecated
from plinth.config.faults import read_value, validate_whole
from plinth.config.organization_roles import OrganizationRoles
from plinth.config.password_rules import PasswordRules
from plinth.config.providers import Provider, ProviderName, RedirectUrl
from plinth.config.services import ServiceSettings, drop_unneeded
from plinth.config.types import (
    MAX_MEMORY_KIB,
    MAX_PASSES,
    ApiPrefix,
    Bytes,
    Count,
    Days,
    EarlierKey,
    EventDays,
    Hidden,
    Host,
    Hours,
    HttpUrl,
    Milliseconds,
    Minutes,
    Network,
    Origin,
    PagesUrl,
    Port,
    RateText,
    Seconds,
    Sender,
)
from plinth.config.urls.public_url import HostName, RootPath


class Settings(ServiceSettings, BaseSettings):  # BaseSettings for ruff, which reads only this file
    model_config = SettingsConfigDict(
        env_file=os.environ.get("PLINTH_ENV_FILE", ".env") or None,
        env_file_encoding="utf-8",
        env_ignore_empty=True,  # `REDIS_PASSWORD=` in a compose file means none
        case_sensitive=True,
        extra="allow",
        hide_input_in_errors=True,
        enable_decoding=False,  # it stops at the first invalid JSON; faults.py reports all
        allow_inf_nan=False,
    )

    # Not read from the environment, because the OpenAPI document and its clients depend on them.
    PASSWORD_RULES: ClassVar[PasswordRules] = PasswordRules()
    ORGANIZATION_ROLES: ClassVar[OrganizationRoles] = OrganizationRoles()

    PROJECT_NAME: str = "MyApp"
    VERSION: str = "1.0.0"
    API_V1_PREFIX: ApiPrefix = "/api/v1"
    DEBUG: bool = False
    DATA_DIR: Path = Path(".data")
    PLINTH_FAST_PATHS: bool = True

    SECRET_KEY: Hidden = ""
    SECRET_KEY_FALLBACKS: Annotated[list[EarlierKey], Field(repr=False)] = []
    ALGORITHM: Literal["HS256", "HS384", "HS512"] = "HS256"
    KEYS_FILE: Path | None = None
    ACCESS_TOKEN_EXPIRE_MINUTES: Minutes = 30
    REFRESH_TOKEN_EXPIRE_DAYS: Days = 7
    TOKEN_ISSUER: str = "plinth"  # noqa: S105 - a name, not a secret
    TOKEN_AUDIENCE: str = "plinth"  # noqa: S105
    SESSION_IDLE_DAYS: Days = 14
    SESSION_ABSOLUTE_DAYS: Days = 90
    SESSIONS_PER_USER: Annotated[int, Field(ge=1, le=1000)] = 100
    SESSION_KEEP_DAYS: Days = 30
    EVENT_KEEP_DAYS: EventDays = 0
    LOGIN_FAILURE_MS: Annotated[int, Field(ge=0, le=60_000)] = 400
    ARGON2_MEMORY_KIB: Annotated[int, Field(ge=8, le=MAX_MEMORY_KIB)] = 19456
    ARGON2_TIME_COST: Annotated[int, Field(ge=1, le=MAX_PASSES)] = 2
    PASSWORD_BLOCKLIST: Literal["off", "warn", "refuse"] | None = None
    BREACH_CHECK_URL: HttpUrl | None = None
    PASSWORD_THREADS: Annotated[int, Field(ge=1, le=1024)] | None = None
    PASSWORD_QUEUE: Count | None = None
    PASSWORD_WAIT_MS: Milliseconds = 1000
    AUTH_COOKIES: bool = False
    ACCOUNT_PAGE: bool = True
    MFA_REQUIRED: Literal["none", "superusers", "all"] = "none"
    MFA_CHALLENGE_MINUTES: Minutes = 10
    STEP_UP_MINUTES: Minutes = 10
    IMPERSONATION_MINUTES: Annotated[int, Field(ge=0, le=60)] = 0
    EMAIL_CODES: bool = False
    API_KEYS_PER_USER: Annotated[int, Field(ge=0, le=1000)] = 50
    API_KEY_MAX_DAYS: Days = 365
    RP_ID: Host = ""
    PASSKEY_ORIGINS: list[Origin] = []
    PASSWORD_RESET_MINUTES: Minutes = 30
    EMAIL_VERIFY_HOURS: Hours = 24
    INVITATION_DAYS: Days = 7

    API_ORIGIN: Origin = "http://localhost:8000"
    OIDC_PROVIDERS: Annotated[dict[ProviderName, Provider], Field(repr=False)] = {}
    OIDC_REDIRECT_URLS: list[RedirectUrl] = []

    FRONTEND_URL: PagesUrl = "http://localhost:3000"
    MAIL_FROM: Sender = "no-reply@localhost"
    SMTP_HOST: Host = ""
    SMTP_PORT: Port = 587
    SMTP_USERNAME: str = ""
    SMTP_PASSWORD: Hidden = ""
    SMTP_UTF8: bool = False
    SMTP_TLS: Literal["starttls", "tls", "none"] = "starttls"
    SMTP_CA_FILE: Path | None = None
    SMTP_TIMEOUT: Seconds = 10
    MAIL_WORKER: bool = True
    MAIL_CONCURRENCY: Annotated[int, Field(ge=1, le=1000)] = 4
    MAIL_POLL_SECONDS: Seconds = 5
    MAIL_LEASE_SECONDS: Seconds = 60
    MAIL_RETRY_SECONDS: Seconds = 10
    MAIL_MAX_ATTEMPTS: Count = 8
    MAIL_KEEP_DAYS: Days = 30

    LIMITS_ENABLED: bool = True
    LIMIT_LOGIN_ACCOUNT_IP: RateText = "5/5m"
    LIMIT_LOGIN_ACCOUNT: RateText = "10/5m"
    LIMIT_LOGIN_ACCOUNT_DAY: RateText = "50/1d"
    LIMIT_LOGIN_IP: RateText = "20/5m"
    LIMIT_LOGIN_DEVICE: RateText = "10/5m"
    LIMIT_LOGIN_DEVICE_DAY: RateText = "50/1d"
    LIMIT_LOGIN_ALL_DEVICES: RateText = "100/1d"
    LIMIT_IPV6_SITE_FACTOR: Annotated[int, Field(ge=1, le=1000)] = 10
    LIMIT_PASSWORD_SESSION: RateText = "5/5m"  # noqa: S105 - a rate, not a secret
    LIMIT_PASSWORD_ACCOUNT: RateText = "50/1d"  # noqa: S105
    LIMIT_MFA: RateText = "5/5m"
    LIMIT_MFA_DAY: RateText = "50/1d"
    LIMIT_PASSKEY_IP: RateText = "60/5m"
    LIMIT_REGISTER_IP: RateText = "20/1h"
    LIMIT_OIDC_IP: RateText = "60/5m"
    LIMIT_API_KEYS: RateText = "20/1d"
    LIMIT_API_KEY_REPORT_IP: RateText = "30/5m"
    LIMIT_REFRESH_SESSION: RateText = "30/5m"
    LIMIT_REFRESH_UNKNOWN_IP: RateText = "20/5m"
    LIMIT_FORGOT_ACCOUNT: RateText = "3/30m"
    LIMIT_FORGOT_IP: RateText = "20/1h"
    LIMIT_VERIFY_ACCOUNT: RateText = "10/1d"
    LIMIT_ORGANIZATION_USER: RateText = "10/1d"
    LIMIT_INVITE_USER: RateText = "50/1h"
    LIMIT_INVITE_ORGANIZATION: RateText = "200/1d"
    LIMIT_MAIL_ADDRESS: RateText = "10/1h"
    LIMIT_MAIL_ADDRESS_DAY: RateText = "20/1d"

    LOG_LEVEL: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    LOG_FORMAT: Literal["pretty", "json"] | None = None
    METRICS_PORT: Port | None = None
    METRICS_HOST: Host = "127.0.0.1"
    OTEL_EXPORTER_OTLP_ENDPOINT: HttpUrl | None = None
    SLOW_QUERY_MS: Annotated[int, Field(ge=0, le=3_600_000)] = 500

    BACKEND_CORS_ORIGINS: list[Origin] = ["http://localhost:3000", "http://localhost:8000"]
    DOCS_ENABLED: bool | None = None
    ADMIN_ENABLED: bool | None = None
    ADMIN_SESSION_HOURS: Hours = 12
    ROOT_PATH: RootPath = ""
    ALLOWED_HOSTS: list[HostName] = []
    TRUSTED_PROXIES: list[Network] = []
    MAX_HEADER_SIZE: Annotated[int, Field(ge=1024, le=2**20)] = 32 * 1024
    MAX_BODY_SIZE: Bytes = 1024 * 1024
    MAX_AUTH_BODY_SIZE: Bytes = 16 * 1024
    MAX_BUFFERED_BODY_BYTES: Bytes = 32 * 1024 * 1024
    HEADER_TIMEOUT: Seconds = 10
    BODY_TIMEOUT: Seconds = 30
    WRITE_TIMEOUT: Seconds = 30
    MAX_IN_FLIGHT: Count = 400
    MAX_SIGN_INS_IN_FLIGHT: Count | None = None
    DRAIN_SECONDS: Annotated[float, Field(ge=0, le=3_600)] = 3
    DEFAULT_PAGE_SIZE: Count = 20
    MAX_PAGE_SIZE: Count = 100

    @property
    def shows_docs(self) -> bool:
        return self.is_development if self.DOCS_ENABLED is None else self.DOCS_ENABLED

    @property
    def has_admin(self) -> bool:
        if self.ADMIN_ENABLED is None:
            return self.is_development and is_installed("starlette_admin")
        return self.ADMIN_ENABLED

    @property
    def has_account_page(self) -> bool:
        return self.AUTH_COOKIES and self.ACCOUNT_PAGE

    @property
    def password_blocklist(self) -> Literal["off", "warn", "refuse"]:
        return self.PASSWORD_BLOCKLIST or ("warn" if self.is_development else "refuse")

    @field_validator("*", mode="before")
    @classmethod
    def _read_value(cls, value: Any, info: ValidationInfo) -> Any:
        return read_value(cls.model_fields[str(info.field_name)], value)

    @model_validator(mode="wrap")
    @classmethod
    def _validate_whole(cls, values: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        needed = drop_unneeded(rename_deprecated(values), cls.model_fields)
        settings: Self = validate_whole(needed, validate, complete)
        return settings

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        # An unknown setting may be a secret.
        unknown = self.model_extra or {}
        return ((name, value) for name, value in super().__repr_args__() if name not in unknown)
