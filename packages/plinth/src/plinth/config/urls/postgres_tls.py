"""TLS connections to PostgreSQL with libpq's options.

asyncpg supports only some of them, and creates a context for each connection.
"""

import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
WEAK = MODES[:3]
VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
TLS_OPTIONS: dict[str, tuple[str, ...]] = {
    "channel_binding": ("disable", "prefer", "require"),
    "sslmode": MODES,
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": VERSIONS,
    "ssl_max_protocol_version": VERSIONS[2:],
    "sslrootcert": (),
    "sslcert": (),
    "sslkey": (),
    "sslpassword": (),
    "sslcrl": (),
}
NEED_TLS = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "ssl_max_protocol_version")
SYSTEM = "system"
FROM_ENVIRONMENT = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "sslnegotiation": "PGSSLNEGOTIATION",
}
DEFAULT_FILES = {
    "sslrootcert": "root.crt",
    "sslcert": "postgresql.crt",
    "sslkey": "postgresql.key",
    "sslcrl": "root.crl",
}


@dataclass(frozen=True, slots=True)
class Tls:
    """
    Attributes:
        mode: libpq's `sslmode`.
        root: the file with the trusted CAs, or `system`; None disables verification.
    """

    mode: str
    is_direct: bool = False
    root: str | None = None
    certificate: str | None = None
    key: str | None = None
    key_password: str | None = field(default=None, repr=False)
    revoked: str | None = None
    oldest: str = "TLSv1.2"
    newest: str | None = None


class _NamedContext(ssl.SSLContext):
    """Verify a server's host name although the connection is to its IP address."""

    name: str

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        return super().wrap_bio(*args, **{**options, "server_hostname": self.name})


def read_tls(given: Mapping[str, str], *, over_network: bool) -> Tls:
    """
    Args:
        given: libpq's options.
        over_network: False for a Unix socket, which has no TLS.

    Raises:
        ValueError: the driver does not support an option, or the option has no effect.
    """
    found = {
        option: value for option, name in FROM_ENVIRONMENT.items() if (value := os.getenv(name))
    } | dict(given)
    mode = _find_mode(found, over_network=over_network)
    if mode in WEAK:
        _refuse_without_tls(given, mode)
        return Tls(mode)
    files = {option: _default_file(name) for option, name in DEFAULT_FILES.items()} | found
    if "sslkey" in found and not files["sslcert"]:
        raise ValueError("has an sslkey without an sslcert")
    root = files["sslrootcert"]
    if found.get("channel_binding") == "require" and root is None:
        root = SYSTEM
    if mode.startswith("verify") and root is None:
        raise ValueError(
            f"has sslmode={mode} without a CA to trust: add sslrootcert=system for the CAs of this "
            "machine, or sslrootcert=/path/to/ca.pem"
        )
    oldest = found.get("ssl_min_protocol_version", VERSIONS[2])
    tls = Tls(
        mode=mode,
        is_direct=found.get("sslnegotiation") == "direct",
        root=root,
        certificate=files["sslcert"],
        key=files["sslkey"],
        key_password=found.get("sslpassword"),
        revoked=files["sslcrl"],
        oldest=max(oldest, VERSIONS[2]),
        newest=found.get("ssl_max_protocol_version"),
    )
    make_context(tls)  # raises if a file cannot be read
    return tls


def make_context(tls: Tls, name: str | None = None) -> ssl.SSLContext:
    """
    Args:
        name: the server's host name, if the connection is to its IP address.

    Raises:
        ValueError: a file cannot be read or is invalid.
    """
    context = (
        _NamedContext(ssl.PROTOCOL_TLS_CLIENT) if name else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    )
    if isinstance(context, _NamedContext) and name:
        context.name = name
    context.check_hostname = tls.mode == "verify-full"
    context.verify_mode = ssl.CERT_REQUIRED if tls.root else ssl.CERT_NONE
    context.minimum_version = _version(tls.oldest)
    if tls.newest:
        context.maximum_version = _version(tls.newest)
    context.set_alpn_protocols(["postgresql"])
    if tls.root == SYSTEM:
        context.load_default_certs()
    elif tls.root:
        _load("sslrootcert", lambda: context.load_verify_locations(tls.root))
    if tls.revoked:
        _load("sslcrl", lambda: context.load_verify_locations(tls.revoked))
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    if certificate := tls.certificate:
        # Without a callback, OpenSSL prompts for the password on the terminal.
        password = tls.key_password or ""
        _load("sslcert", lambda: context.load_cert_chain(certificate, tls.key, lambda: password))
    return context


def _find_mode(found: Mapping[str, str], *, over_network: bool) -> str:
    mode = found.get("sslmode")
    if found.get("channel_binding") == "require":
        # The driver does not support SCRAM-SHA-256-PLUS. A verified certificate prevents a man in
        # the middle as well.
        if mode not in (None, "require", "verify-full") or not over_network:
            raise ValueError(
                "has channel_binding=require, which the driver replaces by certificate "
                "verification: set sslmode=verify-full, or remove it"
            )
        mode = "verify-full"
    if found.get("sslrootcert") == SYSTEM:
        if mode not in (None, "verify-full"):
            raise ValueError("has sslrootcert=system, which needs sslmode=verify-full")
        mode = "verify-full"
    mode = mode or "prefer"
    if mode not in MODES:
        raise ValueError(f"is used with a PGSSLMODE that is none of {', '.join(MODES)}")
    if found.get("sslnegotiation") == "direct" and mode in WEAK:
        raise ValueError("has sslnegotiation=direct, which needs sslmode=require or a stronger one")
    return mode


def _refuse_without_tls(given: Mapping[str, str], mode: str) -> None:
    """Refuse options of TLS that have no effect in this mode."""
    for option in NEED_TLS:
        if option in given:
            raise ValueError(
                f"has {option}, which has no effect with sslmode={mode}: set sslmode=verify-full "
                "or sslmode=require"
            )


def _default_file(name: str) -> str | None:
    try:
        path = Path.home() / ".postgresql" / name
        return str(path) if path.exists() else None
    except (RuntimeError, OSError):
        return None


def _load(option: str, load: Callable[[], None]) -> None:
    try:
        load()
    except ssl.SSLError:
        raise ValueError(f"has an {option} that is not a valid PEM file") from None
    except OSError as error:
        raise ValueError(f"has an {option} that cannot be read ({error.strerror})") from None


def _version(name: str) -> ssl.TLSVersion:
    return ssl.TLSVersion[name.replace(".", "_")]
