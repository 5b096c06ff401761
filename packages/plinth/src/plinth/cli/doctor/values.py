"""Check the values of the settings."""

import re
import time
from collections.abc import Sequence
from difflib import get_close_matches

from plinth.cli.doctor import Finding, broken, doubtful, fine
from plinth.config import MAKE_A_KEY, Settings
from plinth.config.secret_key import find_weakness
from plinth.config.urls.postgres_url import read_postgres_url
from plinth.rates import parse_rate
from plinth.security.keys import KeyFileError, find_signing_key, read_keys

MIN_SIMILARITY = 0.9
POOLER_HOST = re.compile(r"-pooler\.|^pgbouncer\.")  # Neon, Fly
MIN_PREFIX_LENGTH = {4: 8, 6: 7}  # of the largest private networks: 10.0.0.0/8, fc00::/7
POOLER_PORTS = (6432, 6543, 25061)  # PgBouncer and Azure, Supabase, DigitalOcean


def check_names(settings: Settings) -> Finding:
    """Report misspelled names in .env, which are ignored otherwise."""
    known = list(type(settings).model_fields)
    suggestions = {
        name: match
        for name in settings.model_extra or {}
        for match in _find_similar(name.upper(), known)[:1]
    }
    if suggestions:
        names = ", ".join(f"{name} (for {match}?)" for name, match in suggestions.items())
        return doubtful("settings", f"unknown names: {names}", "Correct the name in .env.")
    return fine("settings", f"ENVIRONMENT is {settings.ENVIRONMENT}")


def _find_similar(name: str, known: Sequence[str]) -> Sequence[str]:
    """Return the settings with a similar name, or else those that begin with it (SMTP_USER)."""
    longer = [it for it in known if "_" in name and it.startswith(name)]
    return get_close_matches(name, known, n=1, cutoff=MIN_SIMILARITY) or longer


def check_secret_key(settings: Settings) -> Finding:
    if weakness := find_weakness(settings.SECRET_KEY):
        return doubtful("SECRET_KEY", weakness, f"Generate one with: {MAKE_A_KEY}")
    return fine("SECRET_KEY", "long enough, and not a published example")


def check_keys(settings: Settings) -> Finding:
    if settings.KEYS_FILE is None:
        return fine("signing keys", f"SECRET_KEY signs with {settings.ALGORITHM}")
    try:
        keys = read_keys(settings.KEYS_FILE)
    except KeyFileError as error:
        return broken("signing keys", str(error), "docs/how-to/keys.md says how to repair it.")
    signing = find_signing_key(keys, time.time())
    return fine("signing keys", f"{signing.kid} signs with {signing.alg}")


def check_password_blocklist(settings: Settings) -> Finding:
    name, mode = "PASSWORD_BLOCKLIST", settings.password_blocklist
    if mode != "refuse" and not settings.is_development:
        return doubtful(
            name,
            f"{mode}: users may choose passwords that attackers try first",
            "Unset it. Outside development, its default is refuse.",
        )
    return fine(name, mode)


def check_origins(settings: Settings) -> Finding:
    if "*" in settings.BACKEND_CORS_ORIGINS:
        return doubtful(
            "BACKEND_CORS_ORIGINS",
            "* lets every website call this API from its visitors' browsers",
            'List your own origins as JSON: ["https://app.example.com"]',
        )
    return fine("BACKEND_CORS_ORIGINS", ", ".join(settings.BACKEND_CORS_ORIGINS) or "none")


def check_hosts(settings: Settings) -> Finding:
    if not settings.ALLOWED_HOSTS and not settings.is_development:
        return doubtful(
            "ALLOWED_HOSTS",
            "every Host header is accepted and used in links of the admin pages",
            'List your own host names as JSON: ["api.example.com"]',
        )
    return fine("ALLOWED_HOSTS", ", ".join(settings.ALLOWED_HOSTS) or "any, in development")


def check_proxies(settings: Settings) -> Finding:
    """Report networks that are nearly every address, such as both halves of IPv4."""
    name = "TRUSTED_PROXIES"
    wide = [it for it in settings.TRUSTED_PROXIES if it.prefixlen < MIN_PREFIX_LENGTH[it.version]]
    if wide:
        return doubtful(
            name,
            f"{wide[0]} includes public addresses, so clients can forge their address and evade "
            "the rate limits",
            "List only the networks of your own proxies.",
        )
    return fine(name, ", ".join(map(str, settings.TRUSTED_PROXIES)) or "none")


def check_reset_limit(settings: Settings) -> Finding:
    """Report a limit during which a user has no valid link and cannot request a new one."""
    name, minutes = "LIMIT_FORGOT_ACCOUNT", settings.PASSWORD_RESET_MINUTES
    if parse_rate(settings.LIMIT_FORGOT_ACCOUNT).seconds > minutes * 60:
        return doubtful(
            name,
            f"the window of {settings.LIMIT_FORGOT_ACCOUNT} is longer than the {minutes} minutes "
            "that a link is valid, so an attacker can keep a user from resetting the password",
            f"Use a window of at most PASSWORD_RESET_MINUTES ({minutes}m).",
        )
    return fine(name, settings.LIMIT_FORGOT_ACCOUNT)


def check_debugging(settings: Settings) -> Finding:
    enabled = [name for name in ("DEBUG", "DB_ECHO") if getattr(settings, name)]
    if enabled and not settings.is_development:
        names = " and ".join(enabled)
        return doubtful("debugging", f"{names}: the log contains users' data", f"Unset {names}.")
    return fine("debugging", ", ".join(enabled) or "off")


def check_pooler(settings: Settings) -> Finding:
    """Recognize a pooler by the host names and ports of hosted services."""
    name = "pooler"
    hosts = read_postgres_url(settings.DATABASE_URL).hosts if settings.DATABASE_URL else ()
    pooled = [
        host.name for host in hosts if host.port in POOLER_PORTS or POOLER_HOST.search(host.name)
    ]
    if pooled and not settings.DB_PGBOUNCER:
        return doubtful(
            name,
            f"{pooled[0]} looks like PgBouncer in transaction mode",
            "Set DB_PGBOUNCER=true, and DIRECT_DATABASE_URL to a URL of the server itself.",
        )
    return fine(name, "DB_PGBOUNCER is true" if settings.DB_PGBOUNCER else "none")


CHECKS = [
    check_names,
    check_secret_key,
    check_keys,
    check_password_blocklist,
    check_origins,
    check_hosts,
    check_proxies,
    check_reset_limit,
    check_debugging,
    check_pooler,
]
