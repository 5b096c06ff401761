"""What the settings say, and what they should not."""

import re
import time
from collections.abc import Sequence
from difflib import get_close_matches

from plinth.cli.doctor.finding import Finding, broken, doubtful, fine
from plinth.config import MAKE_A_KEY, Settings
from plinth.config.secret_key import find_weakness
from plinth.config.urls.postgres_url import read_postgres_url
from plinth.rates import parse_rate
from plinth.security.keys import KeyFileError, find_signing_key, read_keys

MIN_SIMILARITY = 0.9
POOLER = re.compile(r"-pooler\.|^pgbouncer\.")  # Neon's, Fly's
MAX_NETWORK_PREFIX = {
    4: 8,
    6: 7,
}  # prefix lengths of the widest private networks: 10.0.0.0/8, fc00::/7
POOLER_PORTS = (6432, 6543, 25061)  # PgBouncer's own and Azure's, Supabase's, DigitalOcean's


def check_names(settings: Settings) -> Finding:
    """Names that nobody reads are kept without a word, so a slip of the pen would go unseen."""
    known = list(type(settings).model_fields)
    meant = {
        name: match
        for name in settings.model_extra or {}
        for match in _find_alike(name.upper(), known)[:1]
    }
    if meant:
        slips = ", ".join(f"{name} (for {match}?)" for name, match in meant.items())
        return doubtful("settings", f"nobody reads {slips}", "Correct the name in .env.")
    return fine("settings", f"ENVIRONMENT is {settings.ENVIRONMENT}")


def _find_alike(name: str, known: Sequence[str]) -> Sequence[str]:
    """Return the settings that a name is nearly, or is the beginning of: SMTP_USER."""
    longer = [it for it in known if "_" in name and it.startswith(name)]
    return get_close_matches(name, known, n=1, cutoff=MIN_SIMILARITY) or longer


def check_secret_key(settings: Settings) -> Finding:
    if weakness := find_weakness(settings.SECRET_KEY):
        return doubtful("SECRET_KEY", weakness, f"Make one with: {MAKE_A_KEY}")
    return fine("SECRET_KEY", "long enough, and not a well-known one")


def check_keys(settings: Settings) -> Finding:
    if settings.KEYS_FILE is None:
        return fine("signing keys", f"SECRET_KEY alone, by {settings.ALGORITHM}")
    try:
        keys = read_keys(settings.KEYS_FILE)
    except KeyFileError as error:
        return broken("signing keys", str(error), "docs/how-to/keys.md has what to do.")
    signing = find_signing_key(keys, time.time())
    return fine("signing keys", f"{signing.kid} signs, by {signing.alg}")


def check_password_blocklist(settings: Settings) -> Finding:
    name, mode = "PASSWORD_BLOCKLIST", settings.password_blocklist
    if mode != "refuse" and not settings.is_development:
        return doubtful(
            name,
            f"{mode}: people may choose passwords that attackers try first",
            "Unset it: its default outside development is refuse.",
        )
    return fine(name, mode)


def check_origins(settings: Settings) -> Finding:
    if "*" in settings.BACKEND_CORS_ORIGINS:
        return doubtful(
            "BACKEND_CORS_ORIGINS",
            "* lets the pages of every web site call this API from people's browsers",
            'List your own, as JSON: ["https://app.example.com"]',
        )
    return fine("BACKEND_CORS_ORIGINS", ", ".join(settings.BACKEND_CORS_ORIGINS) or "none")


def check_hosts(settings: Settings) -> Finding:
    if not settings.ALLOWED_HOSTS and not settings.is_development:
        return doubtful(
            "ALLOWED_HOSTS",
            "any Host header is accepted, and appears in links of the admin pages",
            'List your own, as JSON: ["api.example.com"]',
        )
    return fine("ALLOWED_HOSTS", ", ".join(settings.ALLOWED_HOSTS) or "any, in development")


def check_proxies(settings: Settings) -> Finding:
    """Report networks that are nearly every address, such as both halves of IPv4."""
    name = "TRUSTED_PROXIES"
    wide = [it for it in settings.TRUSTED_PROXIES if it.prefixlen < MAX_NETWORK_PREFIX[it.version]]
    if wide:
        return doubtful(
            name,
            f"{wide[0]} holds strangers too: each can claim any address, and so pass the limits",
            "Name the networks of your own proxies.",
        )
    return fine(name, ", ".join(map(str, settings.TRUSTED_PROXIES)) or "none")


def check_reset_limit(settings: Settings) -> Finding:
    """Report a window in which an owner can have neither a new link nor an old one."""
    name, minutes = "LIMIT_FORGOT_ACCOUNT", settings.PASSWORD_RESET_MINUTES
    if parse_rate(settings.LIMIT_FORGOT_ACCOUNT).seconds > minutes * 60:
        return doubtful(
            name,
            f"{settings.LIMIT_FORGOT_ACCOUNT} outlasts a link's {minutes} minutes, so that anybody"
            " can keep an owner from a new password",
            f"Take a window of at most PASSWORD_RESET_MINUTES ({minutes}m).",
        )
    return fine(name, settings.LIMIT_FORGOT_ACCOUNT)


def check_debugging(settings: Settings) -> Finding:
    set_ = [name for name in ("DEBUG", "DB_ECHO") if getattr(settings, name)]
    if set_ and not settings.is_development:
        names = " and ".join(set_)
        return doubtful("debugging", f"{names}: people's data goes to the log", f"Unset {names}.")
    return fine("debugging", ", ".join(set_) or "off")


def check_pooler(settings: Settings) -> Finding:
    """By the hosts and ports of the services that offer one beside the database itself."""
    name = "pooler"
    hosts = read_postgres_url(settings.DATABASE_URL).hosts if settings.DATABASE_URL else ()
    pooled = [host.name for host in hosts if host.port in POOLER_PORTS or POOLER.search(host.name)]
    if pooled and not settings.DB_PGBOUNCER:
        return doubtful(
            name,
            f"{pooled[0]} looks like PgBouncer in transaction mode",
            "Set DB_PGBOUNCER=true, and DIRECT_DATABASE_URL to the server behind it.",
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
