"""Why PostgreSQL or Redis cannot be used, as a sentence for the log and for `plinth doctor`."""

import logging
import socket
import ssl
import time

from redis import exceptions as redis

REPEAT_SECONDS = 60

# PostgreSQL's documentation, appendix A.
BY_SQLSTATE = {
    "08P01": "through PgBouncer in transaction mode set DB_PGBOUNCER=true",
    "28000": "the role does not exist, or may not connect from here: correct DATABASE_URL, or the "
    "server's pg_hba.conf",
    "28P01": "the password is wrong: correct DATABASE_URL",
    "3D000": "the database does not exist: create it, or correct DATABASE_URL",
    "3F000": "a schema is missing: run `plinth db upgrade`",
    "42501": "the role lacks a privilege: GRANT it",
    "42P01": "a table is missing: run `plinth db upgrade`",
    "53300": "it has no connection left: lower DB_POOL_SIZE, DB_MAX_OVERFLOW or the workers, "
    "or raise max_connections",
    "55000": "the database accepts no connections",
    "57P03": "it is starting, stopping or recovering: wait",
}

BY_KIND: dict[type[BaseException], str] = {
    socket.gaierror: "the host name cannot be resolved: correct it, or the DNS",
    ssl.SSLCertVerificationError: "its certificate is not trusted: name the authority that signed "
    "it (sslrootcert), and the host as the certificate does",
    ssl.SSLError: "TLS fails: check the port, whether TLS is spoken there, and sslmode",
    ConnectionRefusedError: "nothing listens there: is it running?",
    FileNotFoundError: "there is no socket in that folder: is it running?",
    PermissionError: "this user may not open that file or socket: allow it, or set HOME to "
    "a folder that the user can read",
    TimeoutError: "no answer in time: is it running, does a firewall let us through, and is there "
    "TLS or none as the URL says?",
}

CLUSTER = "it is in cluster mode, which is not supported: point REDIS_URL at another server"
OF_REDIS: dict[type[BaseException], str] = {
    redis.AuthenticationError: "the password or the user is wrong: correct REDIS_URL",
    redis.AuthenticationWrongNumberOfArgsError: "it knows no users: leave the name out",
    redis.NoPermissionError: "the user lacks a permission: docs/how-to/deploy.md lists them",
    redis.ReadOnlyError: "it is a replica: point REDIS_URL at the master",
    redis.BusyLoadingError: "it is loading its data: wait",
    redis.OutOfMemoryError: "its memory is full: raise maxmemory, or set maxmemory-policy to "
    "volatile-lru",
    redis.AskError: CLUSTER,
    redis.ClusterCrossSlotError: CLUSTER,
    redis.ClusterDownError: CLUSTER,
    redis.InvalidResponse: "the server there is not Redis: correct REDIS_URL",
}
OF_REDIS_BY_TEXT = {
    "cluster mode": CLUSTER,
    "NOAUTH": "the password or the user is wrong: correct REDIS_URL",
    "WRONGPASS": "the password or the user is wrong: correct REDIS_URL",
    "NOPERM": "the user lacks a permission: docs/how-to/deploy.md lists them",
    "MISCONF": "it cannot save to its disk: see its log",
    "DB index": "it has no database of that number: correct REDIS_URL",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted: name the authority that signed "
    "it (ssl_ca_certs), or, where it signed its own, set ssl_cert_reqs=none",
    "WRONG_VERSION_NUMBER": "it does not speak TLS at that port: redis:// instead of rediss://",
    "Protocol error": "the server there is not Redis: correct REDIS_URL",
    "Connection closed by server": "it closes the connection: if it speaks TLS at that port, write rediss://",
    "Connection reset": "it closes the connection: if it speaks TLS at that port, write rediss://",
}


def describe_connection_error(error: BaseException) -> str:
    """Return what to do, and the reported error in parentheses."""
    reported = " ".join(str(error).split()) or type(error).__name__
    return f"{_find_advice(error)} ({reported})"


class FaultLog:
    """Logs a fault when it begins or changes, once a minute while it lasts, and its end.

    Otherwise each request would log it.

    Args:
        what: the subject of the sentence, such as "the database".
    """

    def __init__(self, logger: logging.Logger, what: str) -> None:
        self._logger = logger
        self._what = what
        self._sentence = ""
        self._logged_at = 0.0

    def note(self, error: BaseException) -> None:
        sentence, now = describe_connection_error(error), time.monotonic()
        if sentence != self._sentence or now - self._logged_at > REPEAT_SECONDS:
            self._logger.warning("%s cannot be used: %s", self._what, sentence)
            self._sentence, self._logged_at = sentence, now

    def clear(self) -> None:
        if self._sentence:
            self._logger.warning("%s can be used again", self._what)
            self._sentence = ""


def _find_advice(error: BaseException) -> str:
    if state := getattr(error, "sqlstate", None):
        return BY_SQLSTATE.get(state, "it refuses")
    for kind, advice in BY_KIND.items():
        if isinstance(error, kind):
            return advice
    if isinstance(error, redis.RedisError):
        return _find_advice_for_redis(error)
    if "rejected SSL upgrade" in str(error):
        return "it has no TLS: turn it on there, or set sslmode=disable"
    return "it does not answer"


def _find_advice_for_redis(error: redis.RedisError) -> str:
    """Return the advice for the type of an error, or for its text or that of its cause."""
    for kind, advice in OF_REDIS.items():
        if isinstance(error, kind):
            return advice
    reported = f"{error} {error.__cause__ or error.__context__}"
    for words, advice in OF_REDIS_BY_TEXT.items():
        if words in reported:
            return advice
    for kind, advice in BY_KIND.items():
        if isinstance(error.__cause__ or error.__context__, kind):
            return advice
    return "it refuses" if isinstance(error, redis.ResponseError) else "it does not answer"
