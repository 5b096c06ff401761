"""Why PostgreSQL or Redis cannot be used, as a sentence for the log and for `plinth doctor`."""

import logging
import socket
import ssl
import time

REPEAT_SECONDS = 60

# PostgreSQL's documentation, appendix A.
BY_SQLSTATE = {
    "08P01": "through PgBouncer in transaction mode set DB_PGBOUNCER=true",
    "28000": "the role is not there, or may not connect from here: correct DATABASE_URL, or the "
    "server's pg_hba.conf",
    "28P01": "the password is wrong: correct DATABASE_URL",
    "3D000": "the database is not there: create it, or correct DATABASE_URL",
    "3F000": "a schema is missing: run `plinth db upgrade`",
    "42501": "the role lacks a privilege: GRANT it",
    "42P01": "a table is missing: run `plinth db upgrade`",
    "53300": "all its connections are taken: lower DB_POOL_SIZE, DB_MAX_OVERFLOW or the workers, "
    "or raise max_connections",
    "55000": "the database takes no connections",
    "57P03": "it is starting, stopping or recovering: wait",
}

BY_KIND: dict[type[BaseException], str] = {
    socket.gaierror: "the host is not known: correct it, or the name service",
    ssl.SSLCertVerificationError: "its certificate is not trusted: name the authority that signed "
    "it (sslrootcert), and the host as the certificate does",
    ssl.SSLError: "TLS fails: check the port, whether TLS is spoken there, and sslmode",
    ConnectionRefusedError: "nobody serves there: is it running?",
    FileNotFoundError: "there is no socket in that folder: is it running?",
    TimeoutError: "no answer in time: is it running, and does a firewall let us through?",
}


def describe_refusal(error: BaseException) -> str:
    """What to do, and in parentheses what was reported."""
    reported = " ".join(str(error).split()) or type(error).__name__
    return f"{_find_advice(error)} ({reported})"


class FaultLog:
    """Logs a fault when it begins or changes, once a minute while it lasts, and its end.

    Each request would log it otherwise.

    Args:
        what: the subject of the sentence, such as "the database".
    """

    def __init__(self, logger: logging.Logger, what: str) -> None:
        self._logger = logger
        self._what = what
        self._sentence = ""
        self._logged_at = 0.0

    def note(self, error: BaseException) -> None:
        sentence, now = describe_refusal(error), time.monotonic()
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
    if "rejected SSL upgrade" in str(error):
        return "it has no TLS: turn it on there, or set sslmode=disable"
    return "it does not answer"
