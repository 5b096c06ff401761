"""Checks that involve several settings. They run after each setting was validated by itself."""

import ssl
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from plinth.config.faults import Fault
from plinth.config.providers import NATIVE, is_encrypted
from plinth.config.secret_key import find_weakness, keep_development_key
from plinth.config.urls.origins import ANY, normalize
from plinth.config.urls.postgres_url import read_postgres_url
from plinth.config.urls.public_url import find_path_clash
from plinth.config.urls.redis_url import read_redis_url

if TYPE_CHECKING:
    from plinth.config.settings import Settings

MAKE_A_KEY = "python -c 'import secrets; print(secrets.token_urlsafe(48))'"
BODY_OVERHEAD = 64 * 1024  # more than http/bounds counts per body
ACCOUNT_PATH = "/account"
PUBLIC_PASSWORD = "development-only"  # noqa: S105 - published in compose.yaml


def complete(settings: "Settings") -> Iterator[Fault]:
    """Derive settings from others, and yield the faults."""
    for check in CHECKS:
        yield from check(settings)


def find_services(settings: "Settings") -> Iterator[Fault]:
    """Require each URL or its parts. Only development has embedded servers."""
    settings.make_urls()
    urls = {"DATABASE_URL": settings.DATABASE_URL, "REDIS_URL": settings.REDIS_URL}
    for name, url in urls.items():
        if url is None and not settings.is_development:
            yield Fault(
                name,
                f"{name} is not set: set it, or its parts (see .env.example). Only "
                "ENVIRONMENT=development starts an embedded server",
            )
    if settings.is_development:
        return
    urls["DIRECT_DATABASE_URL"] = settings.DIRECT_DATABASE_URL
    urls["MIGRATION_DATABASE_URL"] = settings.MIGRATION_DATABASE_URL
    for name, url in urls.items():
        if url and _find_password(name, url) == PUBLIC_PASSWORD:
            yield Fault(
                name, f"{name} has the public password of compose.yaml: choose another password"
            )


def _find_password(name: str, url: str) -> str | None:
    read = read_redis_url if name == "REDIS_URL" else read_postgres_url
    return read(url).password


def find_secret_key(settings: "Settings") -> Iterator[Fault]:
    if not settings.SECRET_KEY and settings.is_development:
        try:
            settings.SECRET_KEY = keep_development_key(settings.DATA_DIR)
        except ValueError as error:
            yield Fault("SECRET_KEY", str(error))
            return
    weakness = find_weakness(settings.SECRET_KEY, settings.ALGORITHM)
    if weakness and not settings.is_development:
        yield Fault("SECRET_KEY", f"SECRET_KEY {weakness}. Generate one with: {MAKE_A_KEY}")
    for number, key in enumerate(settings.SECRET_KEY_FALLBACKS, 1):
        if (weakness := find_weakness(key)) and not settings.is_development:
            yield Fault("SECRET_KEY_FALLBACKS", f"SECRET_KEY_FALLBACKS: key {number} {weakness}")


def check_pages(settings: "Settings") -> Iterator[Fault]:
    if settings.DEFAULT_PAGE_SIZE > settings.MAX_PAGE_SIZE:
        yield Fault(
            "DEFAULT_PAGE_SIZE",
            "DEFAULT_PAGE_SIZE is larger than MAX_PAGE_SIZE: lower it, or raise MAX_PAGE_SIZE",
        )


def check_bodies(settings: "Settings") -> Iterator[Fault]:
    least = settings.MAX_BODY_SIZE + BODY_OVERHEAD
    if least > settings.MAX_BUFFERED_BODY_BYTES:
        yield Fault(
            "MAX_BUFFERED_BODY_BYTES",
            "MAX_BUFFERED_BODY_BYTES is too small for one body of MAX_BODY_SIZE: set it to at "
            f"least {least}",
        )


def check_root_path(settings: "Settings") -> Iterator[Fault]:
    page = [ACCOUNT_PATH] if settings.has_account_page else []
    if clash := find_path_clash(settings.ROOT_PATH, settings.API_V1_PREFIX, *page):
        yield Fault("ROOT_PATH", clash)


def check_mail(settings: "Settings") -> Iterator[Fault]:
    if not settings.SMTP_HOST:
        return
    if settings.SMTP_TLS == "none" and settings.SMTP_USERNAME:
        yield Fault(
            "SMTP_TLS", "SMTP_TLS=none would send SMTP_PASSWORD unencrypted: set starttls or tls"
        )
    if settings.SMTP_CA_FILE:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(settings.SMTP_CA_FILE)
        except OSError as error:  # an SSLError is one
            is_ssl = isinstance(error, ssl.SSLError)
            reason = "it contains no certificates" if is_ssl else error.strerror
            yield Fault("SMTP_CA_FILE", f"SMTP_CA_FILE cannot be read ({reason})")
    needed = ["MAIL_FROM"] if _leads_to_account_page(settings) else ["MAIL_FROM", "FRONTEND_URL"]
    for name in needed:
        if not settings.is_development and name not in settings.model_fields_set:
            yield Fault(name, f"{name} is not set, but mails need it: set it, or unset SMTP_HOST")


def find_frontend(settings: "Settings") -> Iterator[Fault]:
    """Let links in mails lead to the account page if there are no other pages."""
    if _leads_to_account_page(settings):
        settings.FRONTEND_URL = f"{settings.API_ORIGIN}{settings.ROOT_PATH}{ACCOUNT_PATH}"
    yield from ()


def _leads_to_account_page(settings: "Settings") -> bool:
    is_known = settings.is_development or "API_ORIGIN" in settings.model_fields_set
    return (
        settings.has_account_page and is_known and "FRONTEND_URL" not in settings.model_fields_set
    )


def check_providers(settings: "Settings") -> Iterator[Fault]:
    """Require what a sign-in by an identity provider needs, and encrypted connections."""
    if settings.API_ORIGIN == ANY:
        yield Fault("API_ORIGIN", "API_ORIGIN is *: write the origin of this API")
    if not settings.OIDC_PROVIDERS:
        return
    if not settings.OIDC_REDIRECT_URLS:
        yield Fault(
            "OIDC_REDIRECT_URLS",
            "OIDC_REDIRECT_URLS is empty: list the URLs of your front end that receive sign-ins",
        )
    if not settings.is_development and "API_ORIGIN" not in settings.model_fields_set:
        yield Fault(
            "API_ORIGIN",
            "API_ORIGIN is not set, but sign-ins by providers need it: set it to the public "
            "origin of this API, such as https://api.example.com",
        )
    for name, url in _find_urls(settings):
        if not NATIVE.fullmatch(url) and not is_encrypted(
            url, is_development=settings.is_development
        ):
            yield Fault(
                name,
                f"{name} has a URL with http://, which is allowed only for this machine with "
                "ENVIRONMENT=development: use https://",
            )


def _find_urls(settings: "Settings") -> Iterator[tuple[str, str]]:
    if "API_ORIGIN" in settings.model_fields_set and settings.API_ORIGIN != ANY:
        yield "API_ORIGIN", settings.API_ORIGIN
    yield from (("OIDC_PROVIDERS", it.issuer) for it in settings.OIDC_PROVIDERS.values())
    yield from (("OIDC_REDIRECT_URLS", it) for it in settings.OIDC_REDIRECT_URLS)


def check_limits(settings: "Settings") -> Iterator[Fault]:
    if not settings.LIMITS_ENABLED and not settings.is_development:
        yield Fault(
            "LIMITS_ENABLED", "LIMITS_ENABLED may be false only with ENVIRONMENT=development"
        )


def find_origins(settings: "Settings") -> Iterator[Fault]:
    """Allow only listed origins outside development, because requests carry cookies."""
    name = "BACKEND_CORS_ORIGINS"
    if settings.is_development:
        if settings.AUTH_COOKIES and ANY in settings.BACKEND_CORS_ORIGINS:
            yield Fault(
                name,
                f'{name} is ["*"], which with AUTH_COOKIES=true lets every website read responses '
                "with your cookies: list the origins of your front end",
            )
        return
    if name not in settings.model_fields_set:
        settings.BACKEND_CORS_ORIGINS = []
    elif ANY in settings.BACKEND_CORS_ORIGINS:
        yield Fault(
            name,
            f'{name} is ["*"], which lets every website call this API with its visitors\' cookies: '
            "list your own origins, or set ENVIRONMENT=development",
        )


def find_relying_party(settings: "Settings") -> Iterator[Fault]:
    """Derive where passkeys are valid from `FRONTEND_URL`, and check what is set."""
    is_set = settings.RP_ID or settings.PASSKEY_ORIGINS
    if not settings.PASSKEY_ORIGINS:
        settings.PASSKEY_ORIGINS = [normalize(settings.FRONTEND_URL) or settings.FRONTEND_URL]
    if not settings.RP_ID:
        settings.RP_ID = urlsplit(settings.PASSKEY_ORIGINS[0]).hostname or ""
    if not is_set:
        if settings.is_development:
            pages = [*settings.BACKEND_CORS_ORIGINS, settings.API_ORIGIN]
            local = find_valid_origins(settings.RP_ID, pages)
            settings.PASSKEY_ORIGINS = [*{*settings.PASSKEY_ORIGINS, *local}]
        return
    valid = find_valid_origins(settings.RP_ID, settings.PASSKEY_ORIGINS)
    for origin in settings.PASSKEY_ORIGINS:
        if origin not in valid:
            yield Fault(
                "PASSKEY_ORIGINS",
                f"PASSKEY_ORIGINS: {origin} cannot use passkeys of RP_ID={settings.RP_ID}. List "
                "origins with https:// whose host is RP_ID or a subdomain of it, or "
                "http://localhost. RP_ID is a domain that you registered, without a scheme and "
                "without a port",
            )


def find_valid_origins(rp_id: str, origins: Iterable[str]) -> list[str]:
    """Return the origins whose pages a browser lets use passkeys of this RP id."""
    from fido2.rpid import verify_rp_id  # noqa: PLC0415 - reads the list of public suffixes

    is_address = ":" in rp_id or rp_id.rpartition(".")[2].isdigit()
    return [it for it in origins if not is_address and verify_rp_id(rp_id, it)]


def check_extras(settings: "Settings") -> Iterator[Fault]:
    """Require the packages of each optional feature that is enabled."""
    if settings.ADMIN_ENABLED and not is_installed("starlette_admin"):
        yield Fault(
            "ADMIN_ENABLED",
            "ADMIN_ENABLED is true, but the packages of the extra admin are not installed: install "
            "plinth-backend[admin], or set ADMIN_ENABLED=false",
        )
    exporter = "opentelemetry.exporter.otlp.proto.http"
    if settings.OTEL_EXPORTER_OTLP_ENDPOINT and not is_installed(exporter):
        yield Fault(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but the packages of the extra otel are not "
            "installed: install plinth-backend[otel], or unset it",
        )


@cache
def is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package does not exist
        return False


CHECKS = (
    find_services,
    find_secret_key,
    find_origins,
    check_pages,
    check_bodies,
    check_root_path,
    check_mail,
    check_providers,
    check_limits,
    find_frontend,
    find_relying_party,
    check_extras,
)
