"""Advice on errors of PostgreSQL and Redis, for the log and `plinth doctor`."""

import logging
import socket
import ssl
import time

from redis import exceptions as redis

REPEAT_SECONDS = 60

# SQLSTATE codes: PostgreSQL's documentation, appendix A.
ADVICE_BY_SQLSTATE = {
    "08P01": "protocol error. If the connection goes through PgBouncer in transaction mode, set "
    "DB_PGBOUNCER=true",
    "28000": "the role does not exist, or may not connect from this host. Correct DATABASE_URL, or "
    "pg_hba.conf on the server",
    "28P01": "the password is wrong. Correct DATABASE_URL",
    "3D000": "the database does not exist. Create it, or correct DATABASE_URL",
    "3F000": "a schema is missing. Run `plinth db upgrade`",
    "42501": "the role lacks a privilege. GRANT it",
    "42P01": "a table is missing. Run `plinth db upgrade`",
    "53100": "the server's disk is full. Free space on it",
    "53300": "the server has no connection left. Lower DB_POOL_SIZE, DB_MAX_OVERFLOW or the number "
    "of workers, or raise max_connections",
    "55000": "the database accepts no connections",
    "55P03": "another transaction held a lock for too long, and nothing was changed. Find it in "
    "pg_stat_activity and end it, or try again (MIGRATION_LOCK_TIMEOUT)",
    "57P03": "the server is starting, stopping or recovering. Wait until it is ready",
}

ADVICE_BY_TYPE: dict[type[BaseException], str] = {
    socket.gaierror: "the host name cannot be resolved. Correct the URL, or the DNS",
    ssl.SSLCertVerificationError: "the server's certificate is not trusted. Set sslrootcert to the "
    "CA that signed it, and use the host name that the certificate contains",
    ssl.SSLError: "the TLS handshake failed. Check the port, sslmode, and the server's TLS",
    ConnectionRefusedError: "nothing listens on that port. Is the server running?",
    FileNotFoundError: "there is no socket in that folder. Is the server running?",
    PermissionError: "this user may not open that file or socket. Change its permissions, or set "
    "HOME to a folder that the user can read",
    TimeoutError: "the server did not answer in time. Is the server running, does a firewall block "
    "it, and does the server use TLS as the URL says?",
}

CLUSTER_ADVICE = (
    "the server is in cluster mode, which is not supported. Point REDIS_URL at another server"
)
REDIS_PASSWORD_ADVICE = "the password or the user is wrong. Correct REDIS_URL"  # noqa: S105
REDIS_PERMISSION_ADVICE = (
    "the user lacks a permission. docs/how-to/deploy.md lists the required ones"
)
NOT_REDIS_ADVICE = "the server at that address is not Redis. Correct REDIS_URL"
REDIS_CLOSED_ADVICE = (
    "the server closes the connection. If it uses TLS on that port, write rediss:// in REDIS_URL"
)
REDIS_ADVICE_BY_TYPE: dict[type[BaseException], str] = {
    redis.AuthenticationError: REDIS_PASSWORD_ADVICE,
    redis.AuthenticationWrongNumberOfArgsError: "the server has no user names. Remove the user "
    "from REDIS_URL",
    redis.NoPermissionError: REDIS_PERMISSION_ADVICE,
    redis.ReadOnlyError: "the server is a replica. Point REDIS_URL at the primary",
    redis.BusyLoadingError: "the server is loading its data. Wait until it is ready",
    redis.OutOfMemoryError: "the server's memory is full. Raise maxmemory, or set "
    "maxmemory-policy to volatile-lru",
    redis.AskError: CLUSTER_ADVICE,
    redis.ClusterCrossSlotError: CLUSTER_ADVICE,
    redis.ClusterDownError: CLUSTER_ADVICE,
    redis.InvalidResponse: NOT_REDIS_ADVICE,
}
REDIS_ADVICE_BY_TEXT = {
    "cluster mode": CLUSTER_ADVICE,
    "NOAUTH": REDIS_PASSWORD_ADVICE,
    "WRONGPASS": REDIS_PASSWORD_ADVICE,
    "NOPERM": REDIS_PERMISSION_ADVICE,
    "MISCONF": "the server cannot save to its disk. See its log",
    "DB index": "the server has no database of that number. Correct REDIS_URL",
    "CERTIFICATE_VERIFY_FAILED": "the server's certificate is not trusted. Set ssl_ca_certs to the "
    "CA that signed it, or ssl_cert_reqs=none for a self-signed certificate",
    "WRONG_VERSION_NUMBER": "the server has no TLS on that port. Write redis:// instead of "
    "rediss://",
    "Protocol error": NOT_REDIS_ADVICE,
    "Connection closed by server": REDIS_CLOSED_ADVICE,
    "Connection reset": REDIS_CLOSED_ADVICE,
}


def describe_connection_error(error: BaseException) -> str:
    """Return the cause and the fix, with the text of the error in parentheses."""
    reported = " ".join(str(error).split()) or type(error).__name__
    return f"{_find_advice(error)} ({reported})"


class FaultLog:
    """Log when a service becomes unusable, each kind of reason once a minute, and when it works
    again.

    Without it, each request would log the fault.

    Args:
        service: such as "the database".
    """

    def __init__(self, logger: logging.Logger, service: str) -> None:
        self._logger = logger
        self._service = service
        self._logged_at: dict[str, float] = {}  # by advice, of which there are few

    def note(self, error: BaseException) -> None:
        advice, now = _find_advice(error), time.monotonic()
        if now - self._logged_at.get(advice, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return
        self._logger.warning(
            "%s cannot be used: %s", self._service, describe_connection_error(error)
        )
        self._logged_at[advice] = now

    def clear(self) -> None:
        if self._logged_at:
            self._logger.warning("%s can be used again", self._service)
            self._logged_at.clear()


def _find_advice(error: BaseException) -> str:
    if state := getattr(error, "sqlstate", None):
        return ADVICE_BY_SQLSTATE.get(state, "the server reported an error")
    for kind, advice in ADVICE_BY_TYPE.items():
        if isinstance(error, kind):
            return advice
    if isinstance(error, redis.RedisError):
        return _find_advice_for_redis(error)
    if "rejected SSL upgrade" in str(error):
        return "the server has no TLS. Enable it there, or set sslmode=disable"
    return "the server does not answer"


def _find_advice_for_redis(error: redis.RedisError) -> str:
    """Look up the type of the error, then its text and its cause's, then the cause's type."""
    for kind, advice in REDIS_ADVICE_BY_TYPE.items():
        if isinstance(error, kind):
            return advice
    cause = error.__cause__ or error.__context__
    reported = f"{error} {cause}"
    for words, advice in REDIS_ADVICE_BY_TEXT.items():
        if words in reported:
            return advice
    for kind, advice in ADVICE_BY_TYPE.items():
        if isinstance(cause, kind):
            return advice
    if isinstance(error, redis.ResponseError):
        return "the server reported an error"
    return "the server does not answer"
