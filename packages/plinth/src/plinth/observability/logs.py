"""Logs of the application, uvicorn and all libraries, in one format on stderr.

The format is JSON, and a readable one in development. In every line, text from clients cannot start
a new line, and values that look like secrets are hidden (`redaction.py`).
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
    """Return the configuration for `logging.config.dictConfig`, and for uvicorn's workers."""
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
        # No debug output of libraries: some of it contains data of requests.
        "root": {"handlers": ["stderr"], "level": "INFO" if level == "DEBUG" else level},
        "loggers": {
            **{name: {"level": level} for name in ("app", "plinth", project.find_package())},
            "plinth.db.engine.Pool": {"level": "WARNING"},  # SQLAlchemy names it after our class
            "sqlalchemy": {"level": "WARNING"},
            # With DB_ECHO, SQLAlchemy adds a handler to a logger that has none.
            "sqlalchemy.engine.Engine": {"handlers": ["none"]},
            "watchfiles": {"level": "WARNING"},  # the reloader already names the changed file
            "uvicorn": {"level": level, "propagate": True},
            "uvicorn.error": {"propagate": True, "filters": ["once"]},
            "uvicorn.access": {"handlers": [], "propagate": False},  # ours has more fields
        },
    }


def set_up() -> None:
    dictConfig(make_config())


def set_up_command() -> None:
    """Print warnings as readable lines, also in production, unless `set_up` has run."""
    handler = logging.StreamHandler()
    handler.setFormatter(make_formatter(pretty=True))
    logging.basicConfig(handlers=[handler])


def silence(name: str) -> None:
    """Log only errors of this logger."""
    logging.getLogger(name).setLevel(logging.ERROR)


def capture_loggers() -> None:
    """Replace the handlers of `uvicorn app.main:app`, unless the root logger has handlers."""
    uvicorn_handlers = (
        logging.getLogger("uvicorn").handlers or logging.getLogger("uvicorn.error").handlers
    )
    if uvicorn_handlers and not logging.root.handlers:
        set_up()


def mark_logged(error: Exception) -> None:
    """Mark an error that is raised again, so that its traceback is not logged twice."""
    error.__dict__[LOGGED] = True


class LoggedOnce(logging.Filter):
    """Drop the server's log line of an exception that was already logged with its request."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return error is None or LOGGED not in error.__dict__


class RequestLine(dict[str, Any]):
    """The fields of a request line, none of which a client can choose.

    These lines are frequent and skip the processors: 10 us instead of 40.
    """

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
        pretty = (settings.LOG_FORMAT or _default_format()) == "pretty"
    formatter, renderer = (ProcessorFormatter, _pretty()) if pretty else (JsonLines, _json())
    return formatter(
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


def _default_format() -> str:
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
        # The richer formatters show values of local variables.
        exception_formatter=structlog.dev.plain_traceback,
    )
