"""Hide secrets in logs, and escape characters with which text could break out of its line.

Secrets must not be logged in the first place. This catches those inside of other text, such as the
message of a library that quotes its input.
"""

import re
from typing import Any

from structlog.typing import EventDict, WrappedLogger

HIDDEN = "[hidden]"
SHOWS_SECRETS = {"shows_secrets": True}
"""The `extra` of a log line that shows a secret on purpose, in development."""
SECRET_NAMES = re.compile(
    r"password|secret|token|authorization|cookie|api_?key(?!_id)", re.IGNORECASE
)
NAMES = ("password", "secret", "token", "authorization", "cookie")
# Patterns of secrets. A pattern is applied only if the text contains one of its words (in lower
# case). The first group is text before the secret that stays. Each pattern takes linear time, since
# a client may have sent a megabyte of partial matches.
SECRETS: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = (
    (("eyj",), re.compile(r"()(?<![\w-])(?>[\w-]*?eyJ)[\w-]++\.[\w-]+\.[\w-]*")),  # a JWT
    (("plk_",), re.compile(r"()plk_(?:live|test)_\w*")),  # an API key, or the beginning of one
    (("$",), re.compile(r"()\$(?:argon2|2[abxy]|pbkdf2|scrypt)[\w-]*\$[^\s'\"]+")),  # a hash
    (("://",), re.compile(r"(://)[^/\s:@]*:[^/\s@]+(?=@)")),  # a URL's user and password
    (
        ("input_value=",),
        re.compile(r"(input_value=).*?(?=, input_type=|\Z)", re.DOTALL),
    ),  # Pydantic
    (("bearer ", "basic "), re.compile(r"((?:Bearer|Basic) )\S+", re.IGNORECASE)),
    (
        NAMES,
        re.compile(
            rf"""((?:{"|".join(NAMES)})["']?\s*[=:]\s*)(?:"[^"]*"|'[^']*')""", re.IGNORECASE
        ),
    ),
    # Our tokens and keys: long, with digits and capitals, unlike names in a traceback.
    (("",), re.compile(r"()(?<![\w-])(?=[\w-]{40})(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]+")),
)
# C0, C1 and DEL, line and paragraph separators: control characters of terminals and line readers.
# Also bidirectional controls, and surrogates, which have no UTF-8 encoding.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
CONTROL_IN_LINES = re.compile(CONTROL.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    is_shown = any(hasattr(event.get("_record"), name) for name in SHOWS_SECRETS)
    return {name: _redact_value(name, value, is_shown=is_shown) for name, value in event.items()}


def _redact_value(name: str, value: Any, *, is_shown: bool) -> Any:
    if name.startswith("_") or value is None or isinstance(value, bool | int | float):
        return value
    if SECRET_NAMES.search(name):
        return HIDDEN
    text = str(value) if is_shown else _hide_secrets(str(value))
    if name == "exception":
        # Keep the line breaks, but indent: no line can look like one of the log.
        return CONTROL_IN_LINES.sub(_escape, text).replace("\n", "\n    ")
    return CONTROL.sub(_escape, text)


def _hide_secrets(text: str) -> str:
    lower = text.lower()
    for words, pattern in SECRETS:
        if any(word in lower for word in words):
            text = pattern.sub(rf"\1{HIDDEN}", text)
    return text


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
