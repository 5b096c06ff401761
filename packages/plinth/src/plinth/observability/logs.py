"""All that is logged, by us, uvicorn and the libraries, as one kind of line on stderr.

JSON for programs; in development something that people like to read. Whoever wrote a line, what a
client sent cannot begin another, and what looks like a secret is not in it (`discretion.py`).
"""

import logging
import sys
from datetime import UTC, datetime
from logging.config import dictConfig
from typing import Any

import structlog
from pydantic_core import to_json
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from plinth import project
from plinth.config import settings
from plinth.observability import redaction
from plinth.request.context import current_request

REQUESTS = "app.request"
LOGGED = "_logged_by_plinth"

structlog.configure(
    processors=[structlog.stdlib.filter_by_level, ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)


def make_config() -> dict[str, Any]:
    """For `logging.config.dictConfig`, and for uvicorn, which hands it to its workers."""
    level = settings.LOG_LEVEL
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": "plinth.observability.logs.make_formatter"}},
        "filters": {"once": {"()": "plinth.observability.logs.LoggedOnce"}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "stream": "ext://sys.stderr",
            },
            "none": {"class": "logging.NullHandler"},
        },
        # The libraries' details are not wanted with ours: some would show what people send.
        "root": {"handlers": ["stderr"], "level": "INFO" if level == "DEBUG" else level},
        "loggers": {
            **{name: {"level": level} for name in ("app", "plinth", project.find_package())},
            "plinth.db.engine.Pool": {"level": "WARNING"},  # SQLAlchemy's, named by our class
            "sqlalchemy": {"level": "WARNING"},
            # With DB_ECHO, SQLAlchemy adds a handler to a logger that has none.
            "sqlalchemy.engine.Engine": {"handlers": ["none"]},
            "watchfiles": {
                "level": "WARNING"
            },  # counts files; the reloader names the one that matters
            "uvicorn": {"level": level, "propagate": True},
            "uvicorn.error": {"propagate": True, "filters": ["once"]},
            "uvicorn.access": {"handlers": [], "propagate": False},  # ours says more
        },
    }


def set_up() -> None:
    dictConfig(make_config())


def silence(name: str) -> None:
    """Errors alone from this logger."""
    logging.getLogger(name).setLevel(logging.ERROR)


def capture_loggers() -> None:
    """Where `uvicorn app.main:app` set up its own before it imported us, and nobody set up more."""
    of_uvicorn = (
        logging.getLogger("uvicorn").handlers or logging.getLogger("uvicorn.error").handlers
    )
    if of_uvicorn and not logging.root.handlers:
        set_up()


def mark_logged(error: Exception) -> None:
    """Note that `error`, which is about to be raised again, needs no second traceback."""
    error.__dict__[LOGGED] = True


class LoggedOnce(logging.Filter):
    """Drop the server's report of an exception that we logged with its request."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return error is None or LOGGED not in error.__dict__


class RequestLine(dict[str, Any]):
    """The fields of a request's line, which have nothing in them that a client chose. Such lines
    are many, and go past the pipeline: 10 us each instead of 40."""

    def __str__(self) -> str:
        return (
            "{method} {route} {status} in {duration_ms} ms, queries: {queries} in {query_ms} ms"
        ).format_map(self)


class JsonLines(ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        if not isinstance(record.msg, RequestLine):
            return super().format(record)
        at = datetime.fromtimestamp(record.created, UTC).isoformat()
        head = {"timestamp": at, "level": record.levelname.lower(), "logger": record.name}
        return _dump(head | {"event": "request"} | record.msg)


def make_formatter(*, pretty: bool | None = None) -> ProcessorFormatter:
    if pretty is None:
        pretty = (settings.LOG_FORMAT or _usual_format()) == "pretty"
    kind, renderer = (ProcessorFormatter, _pretty()) if pretty else (JsonLines, _json())
    return kind(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if pretty else "iso", utc=not pretty),
            _add_request,
            structlog.processors.format_exc_info,
            redaction.redact,
            ProcessorFormatter.remove_processors_meta,
            renderer,
        ]
    )


def _usual_format() -> str:
    return "pretty" if settings.is_development else "json"


def _add_request(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if "request_id" not in event and (request := current_request()):
        event["request_id"] = request.id
    return event


def _json() -> Processor:
    return structlog.processors.JSONRenderer(serializer=lambda event, **_: _dump(event))


def _dump(event: dict[str, Any]) -> str:
    return to_json(event, fallback=str).decode()


def _pretty() -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        sort_keys=False,
        # Never the richer ones, which show the values of local variables.
        exception_formatter=structlog.dev.plain_traceback,
    )
